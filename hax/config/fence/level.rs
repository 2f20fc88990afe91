//! `[[fence.level]]`.

use std::collections::BTreeSet;

use super::device::Devices;
use super::model::{DeviceConfig, DeviceKind, HostCheck, LevelConfig, LevelTarget};
use super::{hosts, schema as keys, value};
use crate::config::reader::Reader;
use crate::config::schema::KeyDoc;
use crate::fence::model::DeviceName;

const SECTION: &str = "fence.level";

/// Devices of one level; a node has not so many.
const DEVICES_MAX: usize = 32;

/// The keys that say for which targets a level is; one of them is given.
const TARGETS: [&KeyDoc; 3] = [
    &keys::LEVEL_TARGET,
    &keys::LEVEL_PATTERN,
    &keys::LEVEL_ATTRIBUTE,
];

/// Reads all levels.
pub(super) fn read_all(r: &mut Reader<'_>, devices: &Devices) -> Option<Vec<LevelConfig>> {
    let total = r.elements(SECTION);
    let mut levels = Vec::new();
    let mut seen = BTreeSet::new();
    for index in 0..total {
        if !r.enter(SECTION, index) {
            continue;
        }
        let level = level(r, devices);
        if let Some(level) = &level
            && !seen.insert((of(&level.target), level.level))
        {
            let why = format!(
                "there is another level {} for {}; name all of its devices in one",
                level.level,
                of(&level.target)
            );
            r.refuse(&keys::LEVEL_LEVEL, why);
        }
        levels.extend(level);
    }
    (levels.len() == total).then_some(levels)
}

/// A target, as people are told of it; different for different ones.
fn of(target: &LevelTarget) -> String {
    match target {
        LevelTarget::Name(node) => format!("{node}"),
        LevelTarget::Pattern(pattern) => format!("the pattern {}", pattern.as_str()),
        LevelTarget::Attribute { key, value } => format!("the attribute {key}={value}"),
    }
}

fn level(r: &mut Reader<'_>, known: &Devices) -> Option<LevelConfig> {
    let level = r.number(&keys::LEVEL_LEVEL);
    let devices = r.list(&keys::LEVEL_DEVICES, value::device);
    let target = target(r);
    let devices = devices?;
    if devices.is_empty() {
        let why = "names no device: such a level would succeed without fencing".to_owned();
        r.refuse(&keys::LEVEL_DEVICES, why);
    }
    if devices.len() > DEVICES_MAX {
        let why = format!("names more than {DEVICES_MAX} devices");
        r.refuse(&keys::LEVEL_DEVICES, why);
    }
    let mut seen = BTreeSet::new();
    for name in &devices {
        if !seen.insert(name) {
            r.refuse(&keys::LEVEL_DEVICES, format!("{name} is named twice"));
        }
        if !known.names.contains(name) {
            r.refuse(&keys::LEVEL_DEVICES, unknown(name, known));
            continue;
        }
        let device = known
            .read
            .iter()
            .flatten()
            .find(|device| device.name == *name);
        if let Some(why) = device.and_then(|device| unfit(device, target.as_ref())) {
            r.refuse(&keys::LEVEL_DEVICES, why);
        }
    }
    Some(LevelConfig {
        target: target?,
        level: u8::try_from(level?).ok()?,
        devices,
    })
}

fn target(r: &mut Reader<'_>) -> Option<LevelTarget> {
    let given: Vec<_> = TARGETS.into_iter().filter(|key| r.is_given(key)).collect();
    match given.as_slice() {
        [_] => {}
        [] => {
            let why = "one of target, pattern and attribute is required".to_owned();
            r.refuse(&keys::LEVEL_TARGET, why);
        }
        [_, second, ..] => {
            let why = "only one of target, pattern and attribute can be given".to_owned();
            r.refuse(second, why);
        }
    }
    let name = r.text(&keys::LEVEL_TARGET, value::node);
    let pattern = r.text(&keys::LEVEL_PATTERN, value::pattern);
    let attribute = r.text(&keys::LEVEL_ATTRIBUTE, value::attribute);
    name.map(LevelTarget::Name)
        .or(pattern.map(LevelTarget::Pattern))
        .or(attribute.map(|(key, value)| LevelTarget::Attribute { key, value }))
}

fn unknown(name: &DeviceName, known: &Devices) -> String {
    let near = known
        .names
        .iter()
        .map(|known| (strsim::jaro_winkler(name.as_str(), known.as_str()), known))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, near)) => format!("there is no device {name}; did you mean {near}?"),
        None => format!("there is no device {name}"),
    }
}

/// Why a device cannot be in a level for a target.
fn unfit(device: &DeviceConfig, target: Option<&LevelTarget>) -> Option<String> {
    let name = &device.name;
    if matches!(device.kind, DeviceKind::Process) {
        return Some(format!(
            "{name} is of type process; levels are for nodes, and processes need none"
        ));
    }
    let Some(LevelTarget::Name(node)) = target else {
        return None;
    };
    if device.hosts.check == HostCheck::Static && !hosts::names(&device.hosts, node) {
        return Some(format!("{name} does not fence {node}"));
    }
    None
}
