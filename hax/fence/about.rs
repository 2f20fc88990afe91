//! What people are told of this node's fencing that is not in Consul.

use serde::{Deserialize, Serialize};

use super::model::{DeviceName, NodeName};
use crate::config::fence::{DeviceConfig, DeviceKind, FenceConfig, HostCheck, LevelTarget};

/// What is known before the coordinator starts. It holds no parameters of agents, so no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// This node.
    pub node: Option<NodeName>,
    /// Devices, as configured here.
    pub devices: Vec<DeviceAbout>,
    /// What is doubtful in the configuration, one sentence each.
    pub lint: Vec<String>,
}

impl About {
    /// Of a configuration.
    pub fn new(node: NodeName, config: &FenceConfig, lint: Vec<String>) -> Self {
        let devices = config.devices.iter();
        Self {
            node: Some(node),
            devices: devices
                .map(|device| DeviceAbout::new(device, config))
                .collect(),
            lint,
        }
    }
}

/// A device, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAbout {
    /// Its name.
    pub device: DeviceName,
    /// `agent`, `files`, `process`, `command`, `watchdog` or `dummy`.
    pub kind: String,
    /// The agent's program, where it has one.
    pub program: Option<String>,
    /// How is found out what it can fence: `static`, `dynamic`, `status` or `none`.
    pub check: String,
    /// The nodes that its configuration names.
    pub hosts: Vec<NodeName>,
    /// The peers that may use it; empty: all.
    pub peers: Vec<NodeName>,
    /// Its levels, as `<level> <target>`; a pattern between slashes, an attribute as `key=value`.
    pub levels: Vec<String>,
    /// Users at one time.
    pub concurrency: u8,
}

impl DeviceAbout {
    fn new(device: &DeviceConfig, config: &FenceConfig) -> Self {
        let (kind, program) = match &device.kind {
            DeviceKind::Agent(agent) => ("agent", Some(agent.program.display().to_string())),
            DeviceKind::Files(_) => ("files", None),
            DeviceKind::Process => ("process", None),
            // Its arguments may be anything, so only the program is shown.
            DeviceKind::Command(command) => ("command", command.off.first().cloned()),
            DeviceKind::Watchdog(_) => ("watchdog", None),
            DeviceKind::Dummy(_) => ("dummy", None),
        };
        let check = match device.hosts.check {
            HostCheck::Static => "static",
            HostCheck::Dynamic => "dynamic",
            HostCheck::Status => "status",
            HostCheck::None => "none",
        };
        let mut hosts: Vec<NodeName> = device.hosts.list.clone();
        hosts.extend(device.hosts.map.keys().cloned());
        hosts.sort();
        hosts.dedup();
        let levels = config.levels.iter();
        let levels = levels.filter(|level| level.devices.contains(&device.name));
        Self {
            device: device.name.clone(),
            kind: kind.to_owned(),
            program,
            check: check.to_owned(),
            hosts,
            peers: device.peers.clone(),
            levels: levels
                .map(|level| format!("{} {}", level.level, shown(&level.target)))
                .collect(),
            concurrency: device.concurrency,
        }
    }
}

fn shown(target: &LevelTarget) -> String {
    match target {
        LevelTarget::Name(name) => name.to_string(),
        LevelTarget::Pattern(pattern) => format!("/{pattern}/"),
        LevelTarget::Attribute { key, value } => format!("{key}={value}"),
    }
}
