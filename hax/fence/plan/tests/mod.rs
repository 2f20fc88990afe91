//! Tests of plans.

mod examples;
mod property;

use std::collections::BTreeMap;

use super::{Facts, plan};
use crate::config::fence::FenceConfig;
use crate::fence::executor::Traits;
use crate::fence::handle::Refused;
use crate::fence::model::{Action, DeviceName, NodeName, Options, PeerRecord, Plan, Reach, Target};
use crate::fence::sample::config;
use crate::fence::view::Peer;

/// A power device, as its metadata says.
const POWER: Traits = Traits {
    on: true,
    reboot: true,
    list: false,
    status: true,
    automatic: false,
    on_target: false,
};

/// What cuts a node off from storage, and is switched on by the node itself.
const FABRIC: Traits = Traits {
    on: true,
    reboot: false,
    list: false,
    status: true,
    automatic: true,
    on_target: true,
};

/// What is known of the cluster: `n1` to `n3` are in the catalog, and no peer has published anything.
#[derive(Debug)]
struct World {
    config: FenceConfig,
    traits: BTreeMap<DeviceName, Traits>,
    peers: BTreeMap<NodeName, Peer>,
    nodes: BTreeMap<NodeName, BTreeMap<String, String>>,
}

impl World {
    fn new(lines: &str) -> Self {
        let nodes = ["n1", "n2", "n3"].map(|name| (name.parse().unwrap(), BTreeMap::new()));
        Self {
            config: config(lines),
            traits: BTreeMap::new(),
            peers: BTreeMap::new(),
            nodes: nodes.into(),
        }
    }

    fn knows(mut self, device: &str, traits: Traits) -> Self {
        self.traits.insert(device.parse().unwrap(), traits);
        self
    }

    fn peer(&mut self, node: &str) -> &mut Peer {
        self.peers.entry(node.parse().unwrap()).or_insert(Peer {
            record: PeerRecord::default(),
            session: None,
        })
    }

    /// A peer has published which nodes a device fences.
    fn published(mut self, node: &str, device: &str, targets: Option<&[&str]>) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let reach = Reach {
            targets: targets.map(names),
            ..Reach::default()
        };
        let devices = &mut self.peer(node).record.devices;
        devices.insert(device.parse().unwrap(), reach);
        self
    }

    fn armed(mut self, node: &str, watchdog_ms: u64) -> Self {
        self.peer(node).record.watchdog_ms = Some(watchdog_ms);
        self
    }

    fn up(mut self, node: &str) -> Self {
        let session = "b4b7e6b4-5b9f-4d5c-8f4b-5d0f3d5f3c11";
        self.peer(node).session = Some(session.parse().unwrap());
        self
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            config: &self.config,
            traits: &self.traits,
            peers: &self.peers,
            nodes: &self.nodes,
        }
    }

    fn plan(&self, target: &str, action: Action) -> Result<Plan, Refused> {
        let target: Target = target.parse().unwrap();
        plan(&self.facts(), &target, action, &Options::default(), 7)
    }

    /// The plan in short: levels after `;`, steps `group:device:action`, in brackets if not required.
    fn short(&self, target: &str, action: Action) -> String {
        match self.plan(target, action) {
            Ok(plan) => short(&plan),
            Err(refused) => refused.to_string(),
        }
    }
}

fn short(plan: &Plan) -> String {
    let levels = plan.levels.iter().map(|level| {
        let steps = level.steps.iter().map(|step| {
            let on_target = if step.on_target { "@" } else { "" };
            let text = format!(
                "{}:{}:{}{on_target}",
                step.group,
                step.device,
                step.action.as_str()
            );
            if step.required {
                text
            } else {
                format!("({text})")
            }
        });
        let steps: Vec<_> = steps.collect();
        format!("{}={}", level.level, steps.join(" "))
    });
    levels.collect::<Vec<_>>().join("; ")
}

/// A device of a type that needs nothing else.
fn dummy(name: &str, lines: &str) -> String {
    format!("[[fence.device]]\nname = \"{name}\"\ntype = \"dummy\"\n{lines}\n")
}

/// A fence agent.
fn agent(name: &str, lines: &str) -> String {
    format!("[[fence.device]]\nname = \"{name}\"\ntype = \"agent\"\nagent = \"fence_x\"\n{lines}\n")
}

/// A level.
fn level(target: &str, number: u8, devices: &[&str]) -> String {
    format!("[[fence.level]]\n{target}\nlevel = {number}\ndevices = {devices:?}\n")
}
