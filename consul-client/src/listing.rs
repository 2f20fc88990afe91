//! A listing of keys that is decoded where and when the caller wants.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::client::Index;
use crate::error::Error;

/// All pairs under a prefix, as Consul sent them; see [`Kv::listing`](crate::Kv::listing).
///
/// A large listing takes a while to decode, and several times its size as a list of
/// [`KvPair`](crate::KvPair)s. Here the pairs are visited one after another, each borrowed from
/// the reply, and the caller chooses the thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    path: String,
    body: Option<Vec<u8>>,
}

/// A pair while it is visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairRef<'a> {
    /// The key.
    pub key: &'a str,
    /// The value; empty if there is none.
    pub value: &'a [u8],
    /// Index of the key's last change.
    pub modify_index: Index,
    /// The session that holds the key.
    pub session: Option<&'a str>,
}

impl Listing {
    /// A listing from the body of a reply, `None` where nothing has the prefix. `path` is for
    /// errors.
    pub fn new(path: String, body: Option<Vec<u8>>) -> Self {
        Self { path, body }
    }

    /// Size of the reply in bytes: what decoding takes is proportional to it.
    pub fn size(&self) -> usize {
        self.body.as_ref().map_or(0, Vec::len)
    }

    /// Calls `visit` with every pair, in the order of the keys.
    ///
    /// # Errors
    /// [`Error::Decode`] for a reply that is no list of pairs. Some may have been visited.
    pub fn for_each(&self, visit: impl FnMut(PairRef<'_>)) -> Result<(), Error> {
        let Some(body) = &self.body else {
            return Ok(());
        };
        let fail = |error| Error::decode(&self.path, error);
        let mut decoder = serde_json::Deserializer::from_slice(body);
        Pairs(visit).deserialize(&mut decoder).map_err(fail)?;
        decoder.end().map_err(fail)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encoded<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// Base64 has nothing to escape, so it can always be borrowed.
    #[serde(default)]
    value: Option<&'a str>,
    #[serde(default)]
    modify_index: Index,
    /// A UUID: nothing to escape either.
    #[serde(default)]
    session: Option<&'a str>,
}

struct Pairs<F>(F);

impl<'de, F: FnMut(PairRef<'_>)> DeserializeSeed<'de> for Pairs<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(PairRef<'_>)> Visitor<'de> for Pairs<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of pairs")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut pairs: A) -> Result<(), A::Error> {
        let mut value = Vec::new();
        while let Some(pair) = pairs.next_element::<Encoded<'de>>()? {
            value.clear();
            STANDARD
                .decode_vec(pair.value.unwrap_or_default(), &mut value)
                .map_err(A::Error::custom)?;
            (self.0)(PairRef {
                key: &pair.key,
                value: &value,
                modify_index: pair.modify_index,
                session: pair.session,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair = (String, Vec<u8>, u64, Option<String>);

    fn visited(body: &str) -> Result<Vec<Pair>, Error> {
        let listing = Listing::new("/v1/kv/a".to_owned(), Some(body.as_bytes().to_vec()));
        let mut pairs = Vec::new();
        listing.for_each(|pair| {
            pairs.push((
                pair.key.to_owned(),
                pair.value.to_vec(),
                pair.modify_index.0,
                pair.session.map(str::to_owned),
            ));
        })?;
        Ok(pairs)
    }

    #[test]
    fn pairs_are_visited_in_order() {
        let body = r#"[{"LockIndex":0,"Key":"a/\u0031\"","Flags":0,"Value":"AP8=",
                        "CreateIndex":3,"ModifyIndex":4},
                       {"Key":"b","Value":null,"Session":"x"}]"#;
        let expected = [
            ("a/1\"".to_owned(), vec![0, 255], 4, None),
            ("b".to_owned(), vec![], 0, Some("x".to_owned())),
        ];
        assert_eq!(visited(body).unwrap(), expected);
    }

    #[test]
    fn nothing_under_the_prefix_is_no_error() {
        let empty = Listing::new("/v1/kv/a".to_owned(), None);
        let visit = |pair: PairRef<'_>| panic!("{pair:?}");
        empty.for_each(visit).unwrap();
        assert_eq!(empty.size(), 0);
    }

    #[test]
    fn what_is_no_list_of_pairs_is_an_error() {
        for body in [
            "",
            "{}",
            "[",
            "[]]",
            r#"[{"Key":"a"}"#,
            r#"[{"Value":"YQ=="}]"#,
            r#"[{"Key":"a","Value":"?"}]"#,
        ] {
            let error = visited(body).unwrap_err();
            assert!(matches!(error, Error::Decode { .. }), "{body}: {error}");
        }
    }
}
