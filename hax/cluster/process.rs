//! Process statuses under `processes/` (4/KV).

use halink::{Fid, ProcessEvent, ProcessType};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::StoredType;

/// Prefix of the canonical keys.
pub const PREFIX: &str = "processes/";
/// Prefix of the alias that 5/HAX names.
pub const ALIAS_PREFIX: &str = "process/";

/// The value of `processes/<fid>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredStatus {
    /// The last event of the process.
    pub state: ProcessEvent,
    /// What kind of process reported it: m0mkfs and m0d share fids.
    #[serde(rename = "type")]
    pub kind: StoredType,
}

impl StoredStatus {
    /// Whether the process serves requests. m0mkfs never does: it prepares the storage of the
    /// m0d that will.
    pub fn is_up(self) -> bool {
        let started = matches!(
            self.state,
            ProcessEvent::Started | ProcessEvent::DtmRecovered
        );
        started && self.kind != ProcessType::M0mkfs
    }

    /// The value as it is stored.
    pub fn to_json(self) -> String {
        format!(r#"{{"state":"{}","type":"{}"}}"#, self.state, self.kind)
    }
}

/// The canonical key of a process.
pub fn key(process: Fid) -> String {
    format!("{PREFIX}{process}")
}

/// The alias key of a process.
pub fn alias_key(process: Fid) -> String {
    format!("{ALIAS_PREFIX}{process}")
}

/// The process of a canonical key.
pub fn of_key(key: &str) -> Option<Fid> {
    key.strip_prefix(PREFIX)?.parse().ok()
}

/// Statuses by process, each with the Raft index of its last change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessTable(FxHashMap<Fid, (StoredStatus, u64)>);

impl ProcessTable {
    /// Reads the table from keys, values and their `ModifyIndex`. What is not understood is left
    /// out: it is not this bridge's.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8], u64)>) -> Self {
        let mut table = Self::default();
        for (key, value, index) in pairs {
            table.add(key, value, index);
        }
        table
    }

    /// Adds one pair to be [parsed](Self::parse).
    pub(super) fn add(&mut self, key: &str, value: &[u8], index: u64) {
        if let (Some(process), Ok(status)) = (of_key(key), serde_json::from_slice(value)) {
            self.0.insert(process, (status, index));
        }
    }

    /// The status of a process.
    pub fn get(&self, process: Fid) -> Option<StoredStatus> {
        self.0.get(&process).map(|(status, _)| *status)
    }

    /// When the process reported that it is up, as a Raft index; `None` if its last word is
    /// another. A check whose index is lower is older than that word.
    pub fn up_since(&self, process: Fid) -> Option<u64> {
        let (status, index) = self.0.get(&process)?;
        status.is_up().then_some(*index)
    }

    /// `ModifyIndex` of the status of a process; 0: it has none.
    pub fn index(&self, process: Fid) -> u64 {
        self.0.get(&process).map_or(0, |(_, index)| *index)
    }

    /// Whether no process has a status.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All statuses, by fid.
    pub fn iter(&self) -> impl Iterator<Item = (Fid, StoredStatus)> {
        self.0
            .iter()
            .map(|(process, (status, _))| (*process, *status))
    }
}
