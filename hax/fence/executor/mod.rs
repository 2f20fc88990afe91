//! The executor: one attempt of one action on one target through one device, and an honest result.
//!
//! ```text
//!   Executor ─▶ device ─▶ agent, command ─▶ guard (a process) ─▶ the agent
//!                    └──▶ process, watchdog, dummy
//! ```

mod agent;
mod api;
mod command;
mod device;
mod evidence;
pub mod guard;
mod guarded;
mod listing;
mod local;
mod metadata;
mod parameters;
mod program;
mod reach;
mod run;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, stream};

use crate::config::fence::{DeviceConfig, DeviceKind, FenceConfig};
use crate::fence::files;
use crate::fence::model::{Action, DeviceName, Ended, NodeName, Reach, RunResult, Target};

pub use api::{BootInstant, Listed, LocalProcesses, Power, Run, Traits};
pub(crate) use guard::AGENT_PATH;
pub use parameters::DeviceError;

use agent::Agent;
use device::{Device, node_of};
use evidence::ended;
use guarded::Guard;
use metadata::Metadata;
use program::{Aim, Verb};

/// Agents that are asked for their metadata at one time.
const DESCRIBED_AT_ONCE: usize = 4;

/// The executor of this node. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    devices: BTreeMap<DeviceName, Device>,
    traits: BTreeMap<DeviceName, Traits>,
    guard: Guard,
    local: Arc<dyn LocalProcesses>,
}

impl Executor {
    /// Reads the metadata of the agents of all devices that this node may use, and holds their
    /// parameters against it. This process must be `hax`: it is started again as the guard.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub async fn prepare(
        config: &FenceConfig,
        me: &NodeName,
        local: Arc<dyn LocalProcesses>,
    ) -> Result<Self, Vec<DeviceError>> {
        Self::prepare_with(config, me, local, Guard::default()).await
    }

    /// The same for a process that is not `hax`.
    ///
    /// # Errors
    /// As [`Executor::prepare`].
    pub async fn prepare_by(
        hax: PathBuf,
        config: &FenceConfig,
        me: &NodeName,
        local: Arc<dyn LocalProcesses>,
    ) -> Result<Self, Vec<DeviceError>> {
        Self::prepare_with(config, me, local, Guard::at(hax)).await
    }

    async fn prepare_with(
        config: &FenceConfig,
        me: &NodeName,
        local: Arc<dyn LocalProcesses>,
        guard: Guard,
    ) -> Result<Self, Vec<DeviceError>> {
        let usable = |device: &&DeviceConfig| device.peers.is_empty() || device.peers.contains(me);
        let usable: Vec<&DeviceConfig> = config.devices.iter().filter(usable).collect();
        let described = describe_all(&guard, config, &usable).await;
        let mut devices = BTreeMap::new();
        let mut errors = Vec::new();
        for device in usable {
            let DeviceKind::Agent(agent) = &device.kind else {
                devices.insert(device.name.clone(), Device::without_agent(device));
                continue;
            };
            let program = agent::program_of(agent, &config.agent_dir);
            let metadata = match described.get(&program) {
                Some(Ok(metadata)) => metadata.clone(),
                Some(Err(why)) => {
                    errors.push(DeviceError::new(&device.name, "agent", why.clone()));
                    continue;
                }
                None => continue,
            };
            match Agent::new(&device.name, agent, program, metadata).await {
                Ok(agent) => {
                    devices.insert(device.name.clone(), Device::of_agent(device, agent));
                }
                Err(wrong) => errors.extend(wrong),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let traits = devices.iter();
        let traits = traits.map(|(name, device)| (name.clone(), device.traits));
        let traits = traits.collect();
        let inner = Arc::new(Inner {
            devices,
            traits,
            guard,
            local,
        });
        Ok(Self { inner })
    }

    /// What the devices can do that this node may use.
    pub fn traits(&self) -> &BTreeMap<DeviceName, Traits> {
        &self.inner.traits
    }

    /// Exactly one attempt. When the future is dropped, the agent is killed, and a request file withdrawn.
    pub async fn run(&self, run: Run) -> Ended {
        let Inner {
            devices,
            guard,
            local,
            ..
        } = &*self.inner;
        let Some(device) = devices.get(&run.device) else {
            return unknown(&run.device);
        };
        if let Some(program) = device.program() {
            return run::run(guard, device, program, &run).await;
        }
        let timeout = device.config.timeouts.of(run.action);
        match &device.config.kind {
            DeviceKind::Process => local::process(&**local, &run, timeout).await,
            DeviceKind::Watchdog(config) => local::watchdog(&run, config.timeout).await,
            DeviceKind::Dummy(config) => {
                local::dummy(&run, config.succeed, config.takes, timeout).await
            }
            DeviceKind::Files(config) => {
                let (start_by, cancel) = (run.start_by, &run.cancel);
                files::client::run(config, &run.target, run.action, timeout, start_by, cancel).await
            }
            DeviceKind::Agent(_) | DeviceKind::Command(_) => {
                let words = "devices of this kind cannot be used by this hax";
                ended(RunResult::Internal, words, Instant::now())
            }
        }
    }

    /// Looks whether a device can be reached from this node now.
    pub async fn ping(&self, device: &DeviceName) -> Ended {
        let Some(known) = self.inner.devices.get(device) else {
            return unknown(device);
        };
        match known.program() {
            Some(_) => reach::ping(&self.inner.guard, known).await,
            None => {
                let words = "there is nothing to be reached";
                ended(RunResult::Success, words, Instant::now())
            }
        }
    }

    /// Asks a device what it can fence.
    pub async fn list(&self, device: &DeviceName) -> (Ended, Vec<Listed>) {
        match self.inner.devices.get(device) {
            Some(known) => reach::list(&self.inner.guard, known).await,
            None => (unknown(device), Vec::new()),
        }
    }

    /// Asks a device whether a target is on.
    pub async fn status(&self, device: &DeviceName, target: &Target) -> (Ended, Power) {
        let Some(known) = self.inner.devices.get(device) else {
            return (unknown(device), Power::Unknown);
        };
        match node_of(target) {
            Ok(node) => reach::status(&self.inner.guard, known, node, known.port(node)).await,
            Err(why) => {
                let ended = ended(RunResult::Internal, why, Instant::now());
                (ended, Power::Unknown)
            }
        }
    }

    /// Looks at a device from this node: its monitor, then by its host check which of the nodes it can
    /// fence. Takes as long as one monitor, one list and a status for each node at most.
    pub async fn reach(&self, device: &DeviceName, nodes: &[NodeName]) -> Reach {
        match self.inner.devices.get(device) {
            Some(known) => reach::reach(&self.inner.guard, known, nodes).await,
            None => Reach {
                error: Some(unknown(device).evidence),
                ..Reach::default()
            },
        }
    }

    /// What the agent would be given, secrets blotted out; nothing for devices without a program.
    pub fn input(
        &self,
        device: &DeviceName,
        target: &Target,
        action: Action,
    ) -> Vec<(String, String)> {
        let known = self.inner.devices.get(device);
        let program = known.and_then(|known| Some((known, known.program()?)));
        let (Some((known, program)), Ok(node)) = (program, node_of(target)) else {
            return Vec::new();
        };
        let port = known.port(node);
        program.input(Verb::Fence(action), Aim { node, port })
    }
}

/// The metadata of each agent once, however many devices it drives.
async fn describe_all(
    guard: &Guard,
    config: &FenceConfig,
    devices: &[&DeviceConfig],
) -> BTreeMap<PathBuf, Result<Metadata, String>> {
    let programs: BTreeSet<PathBuf> = devices
        .iter()
        .filter_map(|device| match &device.kind {
            DeviceKind::Agent(agent) => Some(agent::program_of(agent, &config.agent_dir)),
            _ => None,
        })
        .collect();
    stream::iter(programs)
        .map(async |program| {
            let metadata = agent::describe(guard, &program).await;
            (program, metadata)
        })
        .buffer_unordered(DESCRIBED_AT_ONCE)
        .collect()
        .await
}

fn unknown(device: &DeviceName) -> Ended {
    let words = format!("this node has no device {device}, or must not use it");
    ended(RunResult::Internal, words, Instant::now())
}
