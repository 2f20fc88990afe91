//! Names of request and response files: `<node>-<uuid>.json`.

use std::fmt;
use std::str::FromStr;

use crate::fence::model::{BadName, NodeName, OpId};

/// Longest name of a target, in bytes: with everything that is put around it, it is still a file's name.
pub const TARGET_MAX: usize = 200;

/// Characters of a UUID.
const UUID_LEN: usize = 36;

/// The name of a request and of its response.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    node: NodeName,
    id: OpId,
}

impl FileName {
    /// The file of a request.
    ///
    /// # Errors
    /// The node's name is longer than [`TARGET_MAX`].
    pub fn new(node: NodeName, id: OpId) -> Result<Self, BadName> {
        if node.as_str().len() > TARGET_MAX {
            return Err(BadName(format!(
                "the name of the target is longer than {TARGET_MAX} bytes, and would not fit into the \
                 name of a file"
            )));
        }
        Ok(Self { node, id })
    }

    /// The target.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The request.
    pub fn id(&self) -> &OpId {
        &self.id
    }

    /// What it is called while it is written.
    pub fn temporary(&self) -> String {
        format!(".{self}.tmp")
    }

    /// What it is called between its withdrawal and its removal.
    pub fn withdrawn(&self) -> String {
        format!(".{self}.withdrawn")
    }

    /// The mark for a responder that has taken it: nobody waits any more.
    pub fn cancel_mark(&self) -> String {
        format!(".{self}.cancel")
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.json", self.node, self.id)
    }
}

impl FromStr for FileName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || {
            BadName(format!(
                "{text:?} is not the name of a request: <node>-<uuid>.json"
            ))
        };
        let stem = text.strip_suffix(".json").ok_or_else(bad)?;
        let cut = stem.len().checked_sub(UUID_LEN).ok_or_else(bad)?;
        let (node, id) = stem.split_at_checked(cut).ok_or_else(bad)?;
        let node = node.strip_suffix('-').ok_or_else(bad)?;
        let parsed: OpId = id.parse()?;
        // One request has one name: no other spelling of the same UUID.
        if parsed.as_str() != id {
            return Err(bad());
        }
        Self::new(node.parse()?, parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

    #[test]
    fn a_name_reads_as_it_is_written() {
        let name = format!("compute-node-3-{ID}.json");
        let parsed: FileName = name.parse().unwrap();
        assert_eq!(parsed.node().as_str(), "compute-node-3");
        assert_eq!(parsed.id().as_str(), ID);
        assert_eq!(parsed.to_string(), name);
    }

    #[test]
    fn other_files_are_not_requests() {
        for bad in [
            "".to_owned(),
            ".json".to_owned(),
            format!("{ID}.json"),
            format!("-{ID}.json"),
            format!("a-{ID}"),
            format!(".a-{ID}.json.tmp"),
            format!("..-{ID}.json"),
            format!("a-{}.json", ID.to_uppercase()),
            format!("a-{}.json", ID.replace('-', "")),
            format!("{}-{ID}.json", "n".repeat(TARGET_MAX + 1)),
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_name_fits_into_a_directory() {
        let node = "n".repeat(TARGET_MAX).parse().unwrap();
        let name = FileName::new(node, ID.parse().unwrap()).unwrap();
        for text in [name.temporary(), name.withdrawn(), name.cancel_mark()] {
            assert!(text.len() <= 255, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_reads_back(text in "\\PC{0,80}") {
            if let Ok(name) = text.parse::<FileName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
