//! Whether a device fences a node, and what it can do.

use super::Facts;
use crate::config::fence::{DeviceConfig, DeviceKind, HostCheck, Unfence, WatchdogConfig};
use crate::fence::executor::Traits;
use crate::fence::model::NodeName;

/// Whether a device fences a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Certainly.
    Yes,
    /// No peer that can use the device has said so, and not all have said that it does not.
    Perhaps,
    /// Certainly not.
    No,
}

/// Whether a device fences a node, by what it was configured for or by what peers have found out.
pub(super) fn fit(facts: &Facts<'_>, device: &DeviceConfig, node: &NodeName) -> Fit {
    let hosts = &device.hosts;
    let is_named = hosts.list.contains(node) || hosts.map.contains_key(node);
    match (&device.kind, hosts.check) {
        (DeviceKind::Process, _) => Fit::No,
        (DeviceKind::Watchdog(watchdog), check) => {
            let meant = check != HostCheck::Static || is_named;
            yes_if(meant && is_armed(facts, watchdog, node))
        }
        (_, HostCheck::Static) => yes_if(is_named),
        (_, HostCheck::None) => Fit::Yes,
        (_, HostCheck::Dynamic | HostCheck::Status) => as_published(facts, device, node),
    }
}

fn yes_if(yes: bool) -> Fit {
    if yes { Fit::Yes } else { Fit::No }
}

/// Whether a node has published a watchdog that has acted by the time that a peer waits for it.
fn is_armed(facts: &Facts<'_>, watchdog: &WatchdogConfig, node: &NodeName) -> bool {
    let published = facts
        .peers
        .get(node)
        .and_then(|peer| peer.record.watchdog_ms);
    published.is_some_and(|ms| u128::from(ms) <= watchdog.timeout.as_millis())
}

fn as_published(facts: &Facts<'_>, device: &DeviceConfig, node: &NodeName) -> Fit {
    let usable = |name: &NodeName| device.peers.is_empty() || device.peers.contains(name);
    let published = facts.peers.iter().filter(|(name, _)| usable(name));
    let mut said = published
        .filter_map(|(_, peer)| peer.record.devices.get(&device.name))
        .map(|reach| reach.targets.as_ref())
        .peekable();
    if said.peek().is_none() {
        return Fit::Perhaps;
    }
    let mut fit = Fit::No;
    for targets in said {
        match targets {
            Some(targets) if targets.contains(node) => return Fit::Yes,
            Some(_) => {}
            None => fit = Fit::Perhaps,
        }
    }
    fit
}

/// What a device can do. Of one that only other nodes can use the least is supposed: without `reboot` it
/// is off, and then on.
pub(super) fn traits(facts: &Facts<'_>, device: &DeviceConfig) -> Traits {
    if let Some(traits) = facts.traits.get(&device.name) {
        return *traits;
    }
    let on = !matches!(device.kind, DeviceKind::Process | DeviceKind::Watchdog(_));
    Traits {
        on,
        automatic: matches!(
            device.unfence,
            Unfence::Automatic | Unfence::AutomaticOnTarget
        ),
        on_target: device.unfence == Unfence::AutomaticOnTarget,
        ..Traits::default()
    }
}

/// Whether the `on` of a device may be a part of a reboot. Not of a watchdog, which has none; not of what cuts
/// a node off from storage: the node may still run, and unfences itself when it has been booted anew. Of
/// an agent whose metadata nobody has read here it is not known which of the two it is.
pub(super) fn comes_back(facts: &Facts<'_>, device: &DeviceConfig) -> bool {
    let is_known = facts.traits.contains_key(&device.name)
        || device.unfence != Unfence::Metadata
        || !matches!(device.kind, DeviceKind::Agent(_));
    is_known && !is_watchdog(device) && !traits(facts, device).automatic
}

pub(super) fn is_process(device: &DeviceConfig) -> bool {
    matches!(device.kind, DeviceKind::Process)
}

pub(super) fn is_watchdog(device: &DeviceConfig) -> bool {
    matches!(device.kind, DeviceKind::Watchdog(_))
}
