//! What is allowed in a configuration of fencing, but most likely not meant.

mod coverage;
mod devices;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use super::model::NodeName;
use crate::config::fence::{DeviceConfig, DeviceKind, FenceConfig, HostCheck, LevelTarget};

/// Something an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it is about: `fence.device[apc].hosts`, or `node ssu1`.
    pub what: String,
    /// What may be wrong, and what to do.
    pub why: String,
}

impl Finding {
    fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
        }
    }

    fn of_device(device: &DeviceConfig, key: &str, why: impl Into<String>) -> Self {
        Self::new(format!("fence.device[{}].{key}", device.name), why)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// What is most likely not meant, in a fixed order. `nodes` are those that are to be fenced: the catalog's,
/// or [`named_nodes`] where that is not known. Looks at the permissions of files with secrets, so it
/// blocks on the file system.
pub fn lint(config: &FenceConfig, nodes: &[NodeName]) -> Vec<Finding> {
    let mut found = Vec::new();
    if config.devices.is_empty() {
        let why = "no device is configured: nothing can be fenced";
        return vec![Finding::new("fence.device", why)];
    }
    for node in nodes {
        coverage::of_node(config, node, &mut found);
    }
    coverage::of_two(config, nodes, &mut found);
    coverage::of_levels(config, nodes, &mut found);
    for device in &config.devices {
        devices::of_device(config, device, nodes, &mut found);
    }
    of_policies(config, &mut found);
    found
}

/// The nodes that hosts, ports, peers and levels name, by name.
pub fn named_nodes(config: &FenceConfig) -> Vec<NodeName> {
    let devices = config.devices.iter().flat_map(|device| {
        let hosts = device.hosts.list.iter().chain(device.hosts.map.keys());
        hosts.chain(&device.peers)
    });
    let levels = config
        .levels
        .iter()
        .filter_map(|level| match &level.target {
            LevelTarget::Name(node) => Some(node),
            _ => None,
        });
    let names: BTreeSet<_> = devices.chain(levels).collect();
    names.into_iter().cloned().collect()
}

fn of_policies(config: &FenceConfig, found: &mut Vec<Finding>) {
    let kills = |device: &DeviceConfig| matches!(device.kind, DeviceKind::Process);
    let mut for_all: Option<&str> = None;
    for policy in &config.policies {
        let what = format!("fence.policy[{}]", policy.name);
        if let Some(name) = for_all {
            let why = format!("{name} before it is for everything, so it never counts");
            found.push(Finding::new(what.clone(), why));
        }
        if policy.processes.is_empty() && policy.triggers.is_empty() {
            for_all = for_all.or(Some(&policy.name));
        }
        if policy.escalate && policy.action.is_some() && !config.devices.iter().any(kills) {
            let why =
                "no device is of type process: a failed process is fenced only by fencing its node";
            found.push(Finding::new(format!("{what}.escalate"), why));
        }
    }
}

/// Whether a device may fence a node, as far as the configuration says.
fn may_fence(device: &DeviceConfig, node: &NodeName) -> bool {
    let hosts = &device.hosts;
    match (&device.kind, hosts.check) {
        (DeviceKind::Process, _) => false,
        (_, HostCheck::Static) => hosts.list.contains(node) || hosts.map.contains_key(node),
        (_, HostCheck::Dynamic | HostCheck::Status | HostCheck::None) => true,
    }
}

/// Whether nobody but the node itself could use the device. A process device runs there; that is another
/// thing.
fn only_itself(device: &DeviceConfig, node: &NodeName) -> bool {
    matches!(device.peers.as_slice(), [only] if only == node)
}
