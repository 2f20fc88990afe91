//! From the configuration and what is known of the cluster to a [`Plan`] (`rfc/13-fencing-protocol.md`, "The
//! plan"). Pure: no clock, no I/O.
//!
//! ```text
//!   levels for the target ─▶ devices of each that fit ─▶ steps ─▶ Plan ─▶ worst case, report
//! ```

mod fit;
mod report;
mod select;
mod steps;
#[cfg(test)]
mod tests;
mod worst;

use std::collections::BTreeMap;

use super::executor::Traits;
use super::handle::Refused;
use super::model::{Action, DeviceName, Level, NodeName, Options, Plan, Refusal, Target};
use super::view::Peer;
use crate::config::fence::{DeviceConfig, FenceConfig};
use fit::Fit;

pub use report::report;
pub(in crate::fence) use select::levels as levels_of;
pub use worst::worst_ms;

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The configuration.
    pub config: &'a FenceConfig,
    /// What devices can do, as far as it is known on this node.
    pub traits: &'a BTreeMap<DeviceName, Traits>,
    /// The peers.
    pub peers: &'a BTreeMap<NodeName, Peer>,
    /// The nodes of Consul's catalog, with their metadata.
    pub nodes: &'a BTreeMap<NodeName, BTreeMap<String, String>>,
}

/// What is to be done to fence or unfence a target. `epoch` is that of its node. `options.delay_ms` is
/// not part of the plan: the first delegate adds it to the delay of its step.
///
/// # Errors
/// Nobody knows the node, or no device is for the target.
pub fn plan(
    facts: &Facts<'_>,
    target: &Target,
    action: Action,
    options: &Options,
    epoch: u64,
) -> Result<Plan, Refused> {
    let node = target.node();
    if !facts.nodes.contains_key(node) && !facts.peers.contains_key(node) {
        let detail = format!("neither the catalog nor a peer's record has {node}");
        return Err(Refused::new(Refusal::UnknownTarget, detail));
    }
    let only = match &options.device {
        Some(name) => Some(facts.config.device(name).ok_or_else(|| {
            let detail = format!("no device {name} is configured");
            Refused::new(Refusal::NoDevice, detail)
        })?),
        None => None,
    };
    let levels = match target {
        Target::Process { .. } => process_levels(facts, action, only),
        Target::Node(node) => node_levels(facts, node, action, only),
    };
    if levels.is_empty() {
        let detail = match only {
            Some(device) => format!("{} cannot {} {target}", device.name, action.as_str()),
            None => format!("no device can {} {target}", action.as_str()),
        };
        return Err(Refused::new(Refusal::NoDevice, detail));
    }
    Ok(Plan { epoch, levels })
}

/// Devices that kill a process, one after another. Whoever supervises the process starts it again, so a
/// reboot is the same, and there is nothing to switch on.
fn process_levels(facts: &Facts<'_>, action: Action, only: Option<&DeviceConfig>) -> Vec<Level> {
    if !action.fences() {
        return Vec::new();
    }
    let mut devices: Vec<_> = chosen(facts, only)
        .filter(|device| fit::is_process(device))
        .collect();
    devices.sort_by_key(|device| &device.name);
    let level = |device| Level {
        level: 0,
        steps: vec![steps::kill(device)],
    };
    devices.into_iter().map(level).collect()
}

fn node_levels(
    facts: &Facts<'_>,
    node: &NodeName,
    action: Action,
    only: Option<&DeviceConfig>,
) -> Vec<Level> {
    if action == Action::On && only.is_none() && is_up(facts, node) {
        let required = automatic(facts, node);
        if !required.is_empty() {
            return steps::on(facts, node, 0, &required).into_iter().collect();
        }
    }
    let chosen_levels = match only {
        Some(_) => Vec::new(),
        None => select::levels(facts.config, facts.nodes.get(node), node),
    };
    let alternatives = if chosen_levels.is_empty() {
        alternatives(facts, node, only)
    } else {
        chosen_levels
    };
    let levels = alternatives.into_iter().filter_map(|(number, devices)| {
        // What certainly does not fence the target cannot be a part of its level, and all parts count.
        let fit = |device: &&DeviceConfig| fit::fit(facts, device, node) != Fit::No;
        if !devices.iter().all(fit) {
            return None;
        }
        match action {
            Action::Off => steps::off(node, number, &devices),
            Action::Reboot => steps::reboot(facts, node, number, &devices),
            Action::On => {
                let mut devices = devices;
                for device in automatic(facts, node)
                    .into_iter()
                    .filter(|_| only.is_none())
                {
                    if !devices.iter().any(|other| other.name == device.name) {
                        devices.push(device);
                    }
                }
                // A node that is off cannot do it itself; it will when it comes up.
                devices.retain(|device| only.is_some() || !fit::traits(facts, device).on_target);
                steps::on(facts, node, number, &devices)
            }
        }
    });
    levels.collect()
}

/// Each device that may fence the node, alone: first those that certainly do, watchdogs after what has
/// not to be waited for, then by name.
fn alternatives<'a>(
    facts: &Facts<'a>,
    node: &NodeName,
    only: Option<&'a DeviceConfig>,
) -> Vec<(u8, Vec<&'a DeviceConfig>)> {
    let mut devices: Vec<_> = chosen(facts, only)
        .filter(|device| !fit::is_process(device))
        .filter_map(|device| match fit::fit(facts, device, node) {
            Fit::No => None,
            fit => Some((fit::is_watchdog(device), fit, &device.name, device)),
        })
        .collect();
    devices.sort_by_key(|(watchdog, fit, name, _)| (*watchdog, *fit, *name));
    devices
        .into_iter()
        .map(|(.., device)| (0, vec![device]))
        .collect()
}

/// Devices whose `on` a node needs before it takes part again, by name.
fn automatic<'a>(facts: &Facts<'a>, node: &NodeName) -> Vec<&'a DeviceConfig> {
    let mut devices: Vec<_> = facts
        .config
        .devices
        .iter()
        .filter(|device| fit::traits(facts, device).automatic)
        .filter(|device| fit::fit(facts, device, node) != Fit::No)
        .collect();
    devices.sort_by_key(|device| &device.name);
    devices
}

fn chosen<'a>(
    facts: &Facts<'a>,
    only: Option<&'a DeviceConfig>,
) -> impl Iterator<Item = &'a DeviceConfig> {
    let all = facts.config.devices.iter();
    all.filter(move |device| only.is_none_or(|only| only.name == device.name))
}

/// Whether the hax of a node lives: then the node has power, and only what has cut it off is to be
/// switched on.
fn is_up(facts: &Facts<'_>, node: &NodeName) -> bool {
    let peer = facts.peers.get(node);
    peer.is_some_and(|peer| peer.session.is_some())
}
