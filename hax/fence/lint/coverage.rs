//! Whether each node can be fenced, and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Finding, may_fence, only_itself};
use crate::config::fence::{DeviceConfig, DeviceKind, FenceConfig, LevelTarget};
use crate::fence::model::NodeName;
use crate::fence::plan::levels_of;

/// The ways to fence a node, each of them devices that are used together: its levels, or each device
/// alone. What the catalog and peers may add is not known.
fn ways<'a>(config: &'a FenceConfig, node: &NodeName) -> Vec<Vec<&'a DeviceConfig>> {
    let levels = levels_of(config, None, node);
    if levels.is_empty() {
        let devices = config.devices.iter();
        let devices = devices.filter(|device| may_fence(device, node));
        return devices.map(|device| vec![device]).collect();
    }
    levels
        .into_iter()
        .map(|(_, devices)| devices)
        .filter(|devices| devices.iter().all(|device| may_fence(device, node)))
        .collect()
}

/// Whether there is a way to fence a node that does not depend on it.
pub(super) fn of_node(config: &FenceConfig, node: &NodeName, found: &mut Vec<Finding>) {
    let what = format!("node {node}");
    let ways = ways(config, node);
    let is_watchdog = |device: &&DeviceConfig| matches!(device.kind, DeviceKind::Watchdog(_));
    let by_itself = |way: &Vec<&DeviceConfig>| way.iter().any(|device| only_itself(device, node));
    if ways.is_empty() {
        let why = "no device, or no level all of whose devices are for it, can fence it";
        found.push(Finding::new(what, why));
    } else if ways.iter().all(by_itself) {
        let why = "only the node itself could use its devices, and nobody fences himself; name other peers";
        found.push(Finding::new(what, why));
    } else if ways.iter().flatten().all(is_watchdog) {
        let why =
            "only its watchdog fences it: where that is not armed, nothing does; add a device";
        found.push(Finding::new(what, why));
    }
}

/// Two nodes that lose each other must not both win.
pub(super) fn of_two(config: &FenceConfig, nodes: &[NodeName], found: &mut Vec<Finding>) {
    let [one, other] = nodes else {
        return;
    };
    let first = |node: &NodeName| {
        ways(config, node)
            .first()
            .and_then(|way| way.first().copied())
    };
    let (Some(of_one), Some(of_other)) = (first(one), first(other)) else {
        return;
    };
    let delay = |device: &DeviceConfig, node: &NodeName| {
        let delay = &device.delay;
        *delay.per_node.get(node).unwrap_or(&delay.base)
    };
    let random = |device: &DeviceConfig| device.delay.random > Duration::ZERO;
    let differ = delay(of_one, one) != delay(of_other, other);
    if !differ && !random(of_one) && !random(of_other) {
        let why = format!(
            "two nodes with equal delays may fence each other at the same time; give one of {one} and \
             {other} a delay, or delay_random"
        );
        found.push(Finding::new("fence.device", why));
    }
}

/// Levels with gaps, and levels for nobody.
pub(super) fn of_levels(config: &FenceConfig, nodes: &[NodeName], found: &mut Vec<Finding>) {
    let mut numbers: BTreeMap<String, BTreeSet<u8>> = BTreeMap::new();
    for (index, level) in config.levels.iter().enumerate() {
        let of = match &level.target {
            LevelTarget::Name(node) => {
                if !nodes.contains(node) {
                    let what = format!("fence.level[#{}].target", index + 1);
                    found.push(Finding::new(what, format!("no node has the name {node}")));
                }
                format!("target {node}")
            }
            LevelTarget::Pattern(pattern) => {
                if !nodes.iter().any(|node| pattern.is_match(node.as_str())) {
                    let what = format!("fence.level[#{}].pattern", index + 1);
                    let why = "matches no node that is known; it has to match a whole name";
                    found.push(Finding::new(what, why));
                }
                format!("pattern {}", pattern.as_str())
            }
            LevelTarget::Attribute { key, value } => format!("attribute {key}={value}"),
        };
        numbers.entry(of).or_default().insert(level.level);
    }
    for (of, numbers) in numbers {
        let last = numbers.last().copied().unwrap_or(0);
        let missing: Vec<_> = (1..last)
            .filter(|number| !numbers.contains(number))
            .map(|number| number.to_string())
            .collect();
        if !missing.is_empty() {
            let why = format!(
                "{of} has a level {last}, but no level {}",
                missing.join(", ")
            );
            found.push(Finding::new("fence.level", why));
        }
    }
}

/// Whether all nodes that a device may fence have levels, and none of these names it.
pub(super) fn is_unused(config: &FenceConfig, device: &DeviceConfig, nodes: &[NodeName]) -> bool {
    let levels = &config.levels;
    if levels.is_empty()
        || levels
            .iter()
            .any(|level| level.devices.contains(&device.name))
    {
        return false;
    }
    let mut fenced = nodes
        .iter()
        .filter(|node| may_fence(device, node))
        .peekable();
    fenced.peek().is_some()
        && fenced.all(|node| {
            levels.iter().any(|level| match &level.target {
                LevelTarget::Name(name) => name == node,
                LevelTarget::Pattern(pattern) => pattern.is_match(node.as_str()),
                LevelTarget::Attribute { .. } => false,
            })
        })
}
