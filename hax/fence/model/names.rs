//! Names of what takes part in fencing. A name that has been parsed is fit to be part of a key, of a
//! file's name and of a line of a log.

use std::fmt;
use std::str::FromStr;

use halink::{Fid, FidType};
use serde::{Deserialize, Serialize};

/// Longest name of a node, in bytes; Consul's own limit is larger.
pub const NODE_NAME_MAX: usize = 255;

/// Longest name of a device, in bytes.
pub const DEVICE_NAME_MAX: usize = 64;

/// A name that cannot stand, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(pub String);

/// The name of a node in the Consul catalog: letters, digits, `.`, `_` and `-`, none of them but a letter,
/// a digit or `_` at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

/// The name of a device: letters, digits, `.`, `_` and `-`, at most 64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceName(String);

/// The number of an operation: a UUID of version 7, so that names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OpId(String);

impl OpId {
    /// A new one.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl Default for OpId {
    fn default() -> Self {
        Self::new()
    }
}

/// What is fenced. Written `<node>`, or `<fid>@<node>` for one process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// A whole node.
    Node(NodeName),
    /// One Motr process of a node.
    Process {
        /// Its fid; of type process.
        process: Fid,
        /// The node it runs on.
        node: NodeName,
    },
}

impl Target {
    /// The node that is fenced, or on which the process runs.
    pub fn node(&self) -> &NodeName {
        match self {
            Self::Node(node) | Self::Process { node, .. } => node,
        }
    }

    /// The process, if it is one.
    pub fn process(&self) -> Option<Fid> {
        match self {
            Self::Node(_) => None,
            Self::Process { process, .. } => Some(*process),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Process { process, node } => write!(f, "{process}@{node}"),
        }
    }
}

impl FromStr for Target {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let Some((fid, node)) = text.split_once('@') else {
            return Ok(Self::Node(text.parse()?));
        };
        let process: Fid = fid.parse().map_err(|error| BadName(format!("{error}")))?;
        if process.fid_type() != Some(FidType::Process) {
            return Err(BadName(format!("{fid:?} is not the fid of a process")));
        }
        let node = node.parse()?;
        Ok(Self::Process { process, node })
    }
}

fn plain(what: &str, text: &str, max: usize) -> Result<(), BadName> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let first = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bad = |why: &str| {
        Err(BadName(format!(
            "{text:?} is not the name of a {what}: {why}"
        )))
    };
    match text.as_bytes() {
        [] => Err(BadName(format!("the name of a {what} is empty"))),
        bytes if bytes.len() > max => Err(BadName(format!(
            "the name of a {what} is longer than {max} bytes"
        ))),
        bytes if !bytes.iter().all(|byte| inner(*byte)) => {
            bad("letters, digits, `.`, `_` and `-` only")
        }
        bytes if !bytes.first().is_some_and(first) => bad("it begins with `.` or `-`"),
        _ => Ok(()),
    }
}

impl FromStr for NodeName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        plain("node", text, NODE_NAME_MAX)?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for DeviceName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        plain("device", text, DEVICE_NAME_MAX)?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for OpId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let id = uuid::Uuid::try_parse(text)
            .map_err(|_| BadName(format!("{text:?} is not the number of an operation")))?;
        Ok(Self(id.to_string()))
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text!(NodeName, DeviceName, OpId);

macro_rules! as_string {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }
    )*};
}
as_string!(NodeName, DeviceName, OpId, Target);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_path_or_a_line() {
        for bad in [
            "", ".", "..", "../x", "a/b", "a b", "a\nb", "-x", "a\0", "ä", "a:b",
        ] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
            assert!(bad.parse::<DeviceName>().is_err(), "{bad:?}");
        }
        assert!("n".repeat(256).parse::<NodeName>().is_err());
        assert!("ssu-1.example_x".parse::<NodeName>().is_ok());
    }

    #[test]
    fn a_target_reads_as_it_is_written() {
        for text in ["ssu1", "0x7200000000000001:0x2@ssu1"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for bad in [
            "0x7300000000000001:0x2@ssu1",
            "x@ssu1",
            "0x7200000000000001:0x2@",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
