//! The `type` of a status under `processes/` (4/KV).

use std::fmt;

use halink::ProcessType;
use serde::{Deserialize, Serialize};

/// The name Hare gives its own processes.
const HA: &str = "M0_CONF_HA_PROCESS_HA";

/// The type of a process as it is stored: one that Motr knows, or a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoredType {
    /// What the process said.
    Motr(ProcessType),
    /// A bridge, as Hare stores it of itself (`M0_CONF_HA_PROCESS_HA`).
    Bridge(Bridge),
}

/// The one word for a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Bridge {
    /// `M0_CONF_HA_PROCESS_HA`.
    #[serde(rename = "M0_CONF_HA_PROCESS_HA")]
    Ha,
}

impl StoredType {
    /// A bridge.
    pub const BRIDGE: Self = Self::Bridge(Bridge::Ha);
}

impl From<ProcessType> for StoredType {
    fn from(kind: ProcessType) -> Self {
        Self::Motr(kind)
    }
}

impl PartialEq<ProcessType> for StoredType {
    fn eq(&self, kind: &ProcessType) -> bool {
        *self == Self::Motr(*kind)
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Motr(kind) => kind.fmt(f),
            Self::Bridge(Bridge::Ha) => f.pad(HA),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_back_as_it_is_written() {
        let motr = ProcessType::ALL.iter().map(|kind| StoredType::from(*kind));
        for kind in motr.chain([StoredType::BRIDGE]) {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<StoredType>(&json).unwrap(), kind);
        }
        assert!(serde_json::from_str::<StoredType>("\"M0_CONF_HA_PROCESS\"").is_err());
    }
}
