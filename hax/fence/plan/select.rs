//! The levels that are for a node.

use std::collections::BTreeMap;

use crate::config::fence::{DeviceConfig, FenceConfig, LevelConfig, LevelTarget};
use crate::fence::model::NodeName;

/// The levels for a node, in their order: those with its name; else those of the first pattern that
/// matches; else those of the first attribute that it has (`attributes`: its metadata in the catalog).
/// Levels of two patterns are never mixed, nor those of two attributes. Empty: the node has no topology.
pub(in crate::fence) fn levels<'a>(
    config: &'a FenceConfig,
    attributes: Option<&BTreeMap<String, String>>,
    node: &NodeName,
) -> Vec<(u8, Vec<&'a DeviceConfig>)> {
    let all = &config.levels;
    let by_name = |level: &&LevelConfig| match &level.target {
        LevelTarget::Name(name) => name == node,
        _ => false,
    };
    let by_pattern = |level: &&LevelConfig| match &level.target {
        LevelTarget::Pattern(pattern) => pattern.is_match(node.as_str()),
        _ => false,
    };
    let by_attribute = |level: &&LevelConfig| match &level.target {
        LevelTarget::Attribute { key, value } => {
            attributes.and_then(|attributes| attributes.get(key)) == Some(value)
        }
        _ => false,
    };
    let first = all
        .iter()
        .find(by_name)
        .or_else(|| all.iter().find(by_pattern))
        .or_else(|| all.iter().find(by_attribute));
    let Some(first) = first else {
        return Vec::new();
    };
    let mut levels: Vec<_> = all
        .iter()
        .filter(|level| same(&level.target, &first.target))
        .map(|level| {
            let devices = level.devices.iter();
            let devices = devices.filter_map(|name| config.device(name));
            (level.level, devices.collect())
        })
        .collect();
    levels.sort_by_key(|(number, _)| *number);
    levels
}

fn same(one: &LevelTarget, other: &LevelTarget) -> bool {
    match (one, other) {
        (LevelTarget::Name(one), LevelTarget::Name(other)) => one == other,
        (LevelTarget::Pattern(one), LevelTarget::Pattern(other)) => one.as_str() == other.as_str(),
        (
            LevelTarget::Attribute { key, value },
            LevelTarget::Attribute {
                key: other_key,
                value: other_value,
            },
        ) => key == other_key && value == other_value,
        _ => false,
    }
}
