//! The state of the nodes as a responder publishes it in the directory of responses, for `status`, `list` and
//! `list-status` of the recorder. None of them asks anybody anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dir::{Dir, Unreadable};
use super::message::{Malformed, now, plain, seconds};
use crate::fence::model::NodeName;

/// Its name in the directory of responses.
pub const NODES_FILE: &str = ".nodes.json";

/// After this many seconds it says nothing any more.
const STALE_SECONDS: i64 = 60;

/// What is known of the power of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodePower {
    /// It runs.
    On,
    /// It was switched off, and not on again.
    Off,
    /// Nobody knows.
    Unknown,
}

/// The published state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesFile {
    /// When it was written.
    pub timestamp: String,
    /// All nodes that can be fenced.
    pub nodes: BTreeMap<NodeName, NodePower>,
}

impl NodesFile {
    /// The state of now.
    pub fn new(nodes: BTreeMap<NodeName, NodePower>) -> Self {
        let timestamp = now();
        Self { timestamp, nodes }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Why nothing is known.
    pub fn read(responses: &Dir) -> Result<Self, String> {
        let found = match responses.read(NODES_FILE) {
            Ok(found) => found,
            Err(Unreadable::Missing) => {
                return Err("no responder publishes the state of the nodes".to_owned());
            }
            Err(why) => return Err(format!("{NODES_FILE}: {why}")),
        };
        let read = serde_json::from_slice::<Self>(&found.bytes);
        let file =
            read.map_err(|error| format!("{NODES_FILE}: {}", plain(&error.to_string(), 256)))?;
        let age = |it: &Self| -> Result<i64, Malformed> {
            Ok(seconds(&now())?.saturating_sub(seconds(&it.timestamp)?))
        };
        match age(&file) {
            Ok(age) if age.saturating_abs() <= STALE_SECONDS => Ok(file),
            Ok(age) => Err(format!(
                "{NODES_FILE} is {age} s old: its responder has gone, or its clock is wrong"
            )),
            Err(why) => Err(format!("{NODES_FILE}: {why}")),
        }
    }
}
