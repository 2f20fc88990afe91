//! The keys under `fence/` (`rfc/12-fencing.md`, "Stored data").

use halink::Fid;

use super::names::{DeviceName, NodeName, OpId, Target};

/// What every key begins with.
pub const PREFIX: &str = "fence/";

/// Operations.
pub const OPS: &str = "fence/ops/";

/// What the storm guard counts.
pub const GUARD: &str = "fence/guard";

/// Inhibits.
pub const INHIBIT: &str = "fence/inhibit/";

/// The inhibit of every target.
pub const INHIBIT_ALL: &str = "fence/inhibit/*";

/// An operation.
pub fn op(id: &OpId) -> String {
    format!("{OPS}{id}")
}

/// The operation of a target that has not ended.
pub fn active(target: &Target) -> String {
    format!("fence/active/{target}")
}

/// The lock of a target.
pub fn lock(target: &Target) -> String {
    format!("fence/lock/{target}")
}

/// Epoch and fence of a node.
pub fn node(node: &NodeName) -> String {
    format!("fence/nodes/{node}")
}

/// The fence of a process.
pub fn process(process: Fid) -> String {
    format!("fence/processes/{process}")
}

/// What a peer publishes.
pub fn peer(node: &NodeName) -> String {
    format!("fence/peers/{node}")
}

/// The processes that those of a node report.
pub fn reports(node: &NodeName) -> String {
    format!("fence/reports/{node}")
}

/// One of the places for users of a device.
pub fn slot(device: &DeviceName, number: u8) -> String {
    format!("fence/slots/{device}/{number}")
}

/// The inhibit of a target.
pub fn inhibit(target: &Target) -> String {
    format!("{INHIBIT}{target}")
}
