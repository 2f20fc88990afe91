//! Key/value store (Consul API, "KV Store").

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::client::{Client, Index, ReadOptions, Response, with_read_options};
use crate::error::Error;
use crate::listing::Listing;
use crate::request::key_path;
use crate::session::SessionId;
use crate::types::{base64_bytes, null_default};

/// Largest value Consul stores, in bytes (`kv_max_value_size`).
pub const KV_MAX_VALUE: usize = 512 * 1024;

/// Handle to the key/value store; see [`Client::kv`].
///
/// A key must not be empty, start with a slash, or have an empty, `.` or `..` segment: HTTP
/// servers rewrite such paths. Anything else goes, and is percent-encoded. A prefix may be empty,
/// which means the whole store.
#[derive(Debug, Clone, Copy)]
pub struct Kv<'c> {
    client: &'c Client,
    read: ReadOptions,
}

with_read_options!(Kv);

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvPair {
    /// The key.
    pub key: String,
    /// The value; Consul does not tell an empty value from none.
    #[serde(default, with = "base64_bytes")]
    pub value: Vec<u8>,
    /// A number the application may store with the value.
    #[serde(default, deserialize_with = "null_default")]
    pub flags: u64,
    /// Session that holds the lock on the key.
    #[serde(
        default,
        deserialize_with = "optional_session",
        skip_serializing_if = "Option::is_none"
    )]
    pub session: Option<SessionId>,
    /// How often the key has been locked.
    #[serde(default, deserialize_with = "null_default")]
    pub lock_index: u64,
    /// Index of the key's creation.
    #[serde(default, deserialize_with = "null_default")]
    pub create_index: Index,
    /// Index of its last change: what a check-and-set compares.
    #[serde(default, deserialize_with = "null_default")]
    pub modify_index: Index,
}

impl KvPair {
    /// The value as text.
    ///
    /// # Errors
    /// [`Error::Decode`] naming the key when it is not UTF-8.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.value).map_err(|e| Error::decode(&self.key, e))
    }

    /// The value parsed as JSON.
    ///
    /// # Errors
    /// [`Error::Decode`] naming the key.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.value).map_err(|e| Error::decode(&self.key, e))
    }
}

/// Under which condition a value is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Always.
    #[default]
    None,
    /// Only if the key's `ModifyIndex` is this; zero: only if the key does not exist.
    Cas(Index),
    /// Only if the session gets, or already has, the lock on the key.
    Acquire(SessionId),
    /// Only if the session holds the lock; it gives it up.
    Release(SessionId),
}

/// How to write a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutOptions {
    /// A number to store with the value.
    pub flags: u64,
    /// Under which condition.
    pub condition: Condition,
}

impl Kv<'_> {
    /// Reads one key.
    pub async fn get(&self, key: &str) -> Result<Response<Option<KvPair>>, Error> {
        let path = path(key)?;
        let reply = self.client.get(path.clone()).read_options(self.read);
        let Response {
            value,
            index,
            known_leader,
            last_contact,
            reset,
        } = reply.fetch_optional::<Vec<KvPair>>().await?;
        let value = match value {
            None => None,
            Some(pairs) => Some(
                pairs
                    .into_iter()
                    .next()
                    .ok_or_else(|| Error::decode(&path, "an empty list instead of a pair"))?,
            ),
        };
        Ok(Response {
            value,
            index,
            known_leader,
            last_contact,
            reset,
        })
    }

    /// Reads all pairs whose key begins with `prefix`, in the order of their keys.
    pub async fn list(&self, prefix: &str) -> Result<Response<Vec<KvPair>>, Error> {
        let request = self.client.get(prefix_path(prefix)?).flag("recurse");
        let response = request.read_options(self.read).fetch_optional().await?;
        Ok(response.map(Option::unwrap_or_default))
    }

    /// Like [`list`](Self::list), for large listings: the pairs are decoded by the caller.
    pub async fn listing(&self, prefix: &str) -> Result<Response<Listing>, Error> {
        let path = prefix_path(prefix)?;
        let request = self.client.get(path.clone()).flag("recurse");
        let response = request.read_options(self.read).fetch_raw().await?;
        Ok(response.map(|body| Listing::new(path, body)))
    }

    /// Reads all keys that begin with `prefix`. With a `separator`, keys are cut after its first
    /// occurrence behind the prefix and each result appears once, like the entries of a directory.
    ///
    /// The index is that of [`list`](Self::list) with the same prefix, so with a separator this
    /// is a small request that tells whether a listing is still current.
    pub async fn keys(
        &self,
        prefix: &str,
        separator: Option<&str>,
    ) -> Result<Response<Vec<String>>, Error> {
        let mut request = self.client.get(prefix_path(prefix)?).flag("keys");
        if let Some(separator) = separator {
            request = request.query("separator", separator);
        }
        let response = request.read_options(self.read).fetch_optional().await?;
        Ok(response.map(Option::unwrap_or_default))
    }

    /// Writes a value.
    pub async fn put(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.put_with(key, value, &PutOptions::default())
            .await
            .map(drop)
    }

    /// Writes a value if the key's `ModifyIndex` is `index`; zero: if the key does not exist.
    /// Returns whether it was written.
    pub async fn cas(
        &self,
        key: &str,
        value: impl Into<Vec<u8>>,
        index: Index,
    ) -> Result<bool, Error> {
        let options = PutOptions {
            condition: Condition::Cas(index),
            ..Default::default()
        };
        self.put_with(key, value, &options).await
    }

    /// Writes a value and locks the key with `session`. Returns whether that was possible; see
    /// also [`Lock`](crate::Lock).
    pub async fn acquire(
        &self,
        key: &str,
        value: impl Into<Vec<u8>>,
        session: &SessionId,
    ) -> Result<bool, Error> {
        let condition = Condition::Acquire(session.clone());
        self.put_with(
            key,
            value,
            &PutOptions {
                flags: 0,
                condition,
            },
        )
        .await
    }

    /// Writes a value and gives up the lock `session` holds on the key. Returns whether it held
    /// it.
    pub async fn release(
        &self,
        key: &str,
        value: impl Into<Vec<u8>>,
        session: &SessionId,
    ) -> Result<bool, Error> {
        let condition = Condition::Release(session.clone());
        self.put_with(
            key,
            value,
            &PutOptions {
                flags: 0,
                condition,
            },
        )
        .await
    }

    /// Writes a value with all options. Returns whether the condition held and it was written.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond [`KV_MAX_VALUE`], without sending it;
    /// [`Error::SessionInvalid`] when the session does not exist.
    pub async fn put_with(
        &self,
        key: &str,
        value: impl Into<Vec<u8>>,
        options: &PutOptions,
    ) -> Result<bool, Error> {
        let path = path(key)?;
        let value = value.into();
        check_size(key, &value)?;
        let mut request = self.client.put(path).body(value);
        if options.flags != 0 {
            request = request.query("flags", options.flags.to_string());
        }
        request = match &options.condition {
            Condition::None => request,
            Condition::Cas(index) => request.query("cas", index.to_string()),
            Condition::Acquire(session) => request.query("acquire", session.to_string()),
            Condition::Release(session) => request.query("release", session.to_string()),
        };
        Ok(request.fetch().await?.value)
    }

    /// Deletes a key. Deleting a missing key is no error.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.client.delete(path(key)?).execute().await
    }

    /// Deletes a key if its `ModifyIndex` is `index`. Returns whether it is gone.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for index zero, which no key can have.
    pub async fn delete_cas(&self, key: &str, index: Index) -> Result<bool, Error> {
        if index == Index(0) {
            return Err(Error::InvalidArgument {
                what: "index",
                reason: "zero is not the index of any key".into(),
            });
        }
        let request = self
            .client
            .delete(path(key)?)
            .query("cas", index.to_string());
        Ok(request.fetch().await?.value)
    }

    /// Deletes all keys that begin with `prefix`, which must not be empty.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<(), Error> {
        self.client
            .delete(path(prefix)?)
            .flag("recurse")
            .execute()
            .await
    }
}

/// Checks a key: see [`Kv`].
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::InvalidKey {
            key: String::new(),
            reason: "is empty",
        });
    }
    check_prefix(key)
}

pub(crate) fn check_prefix(prefix: &str) -> Result<(), Error> {
    let body = prefix.strip_suffix('/').unwrap_or(prefix);
    let invalid = |reason| {
        Err(Error::InvalidKey {
            key: prefix.to_owned(),
            reason,
        })
    };
    if !prefix.is_empty() && body.split('/').any(str::is_empty) {
        return invalid("has an empty segment");
    }
    if body.split('/').any(|segment| matches!(segment, "." | "..")) {
        return invalid("has a segment . or ..");
    }
    Ok(())
}

pub(crate) fn check_size(key: &str, value: &[u8]) -> Result<(), Error> {
    if value.len() > KV_MAX_VALUE {
        return Err(Error::TooLarge {
            what: key.to_owned(),
            size: value.len(),
            limit: KV_MAX_VALUE,
        });
    }
    Ok(())
}

fn path(key: &str) -> Result<String, Error> {
    check_key(key)?;
    Ok(key_path("/v1/kv/", key))
}

fn prefix_path(prefix: &str) -> Result<String, Error> {
    check_prefix(prefix)?;
    Ok(key_path("/v1/kv/", prefix))
}

fn optional_session<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SessionId>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    match text {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_a_server_would_rewrite_are_refused() {
        for key in [
            "", "/", "/a", "a//b", "a//", "./a", "a/../b", "a/..", ".", "a/./b",
        ] {
            assert!(matches!(path(key), Err(Error::InvalidKey { .. })), "{key}");
        }
        for key in ["a", "a/", "a/.b", "a/b..", "...", "a b", "é/ü"] {
            assert!(path(key).is_ok(), "{key}");
        }
        assert_eq!(prefix_path("").unwrap(), "/v1/kv/");
    }

    #[test]
    fn values_from_base64_and_null() {
        let pair: KvPair = serde_json::from_str(r#"{"Key":"a","Value":"AP8="}"#).unwrap();
        assert_eq!(pair.value, [0, 255]);
        assert!(pair.text().is_err());
        let pair: KvPair =
            serde_json::from_str(r#"{"Key":"a","Value":null,"Session":"","Flags":7}"#).unwrap();
        assert_eq!((pair.value.len(), pair.session, pair.flags), (0, None, 7));
        assert!(serde_json::from_str::<KvPair>(r#"{"Key":"a","Value":"?"}"#).is_err());
    }

    #[test]
    fn pairs_survive_json() {
        let text = r#"{"Key":"a","Value":"eyJ4IjoxfQ==","Flags":1,"LockIndex":2,
            "Session":"11111111-2222-3333-4444-555555555555","CreateIndex":3,"ModifyIndex":4}"#;
        let pair: KvPair = serde_json::from_str(text).unwrap();
        assert_eq!(pair.json::<serde_json::Value>().unwrap()["x"], 1);
        let again = serde_json::to_string(&pair).unwrap();
        assert_eq!(serde_json::from_str::<KvPair>(&again).unwrap(), pair);
    }
}
