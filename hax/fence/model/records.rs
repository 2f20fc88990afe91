//! The other records under `fence/` (`rfc/12-fencing.md`, "Stored data").

use std::collections::BTreeMap;

use halink::Fid;
use serde::{Deserialize, Serialize};

use super::names::{DeviceName, NodeName, OpId, Target};
use super::op::{Action, UnixMillis};

/// `fence/nodes/<node>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Grows by one with each success of off or reboot.
    pub epoch: u64,
    /// Set while the node may not take part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced: Option<Fenced>,
    /// Set by the loop breaker; only an operator clears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
}

/// By what a node was fenced.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fenced {
    /// The operation.
    pub op: OpId,
    /// Off or reboot.
    pub action: Action,
    /// The boot ID that the node had published last; without one, only an operator releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// When.
    pub at: UnixMillis,
}

/// `fence/processes/<fid>`: the process is confirmed to have ended, unless `processes/<fid>` has been
/// written after `word`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// The operation.
    pub op: OpId,
    /// `ModifyIndex` of `processes/<fid>` when the operation was activated; 0 without one.
    pub word: u64,
}

/// `fence/peers/<node>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Boot ID of the node.
    #[serde(default)]
    pub boot_id: String,
    /// The peer's devices.
    #[serde(default)]
    pub devices: BTreeMap<DeviceName, Reach>,
    /// Its watchdog, while it is armed: how long after a beat it acts at the latest, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog_ms: Option<u64>,
}

/// What a peer knows of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reach {
    /// When it last reached it; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<UnixMillis>,
    /// Why the last look at it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The nodes that it can fence, by its host list, its own list or status; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<NodeName>>,
    /// When a drill of this device last succeeded for each target.
    #[serde(default)]
    pub drilled: BTreeMap<NodeName, UnixMillis>,
}

/// `fence/reports/<node>`: the processes that Motr processes of this node report and have not said to answer
/// since, each with the index of its last word then: one that has spoken after it is another incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportsRecord {
    /// By process.
    pub words: BTreeMap<Fid, u64>,
}

/// `fence/guard`: what the storm guard counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct GuardRecord {
    /// The last activations, the oldest first.
    pub recent: Vec<Activation>,
}

/// An operation that was activated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Activation {
    /// Its target.
    pub target: Target,
    /// When.
    pub at: UnixMillis,
}

/// `fence/inhibit/<target>` and `fence/inhibit/*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inhibit {
    /// Until when.
    pub until: UnixMillis,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}
