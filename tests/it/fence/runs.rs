//! An executor of a test's own, with the devices it needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use halink::Fid;
use hax::config::SecretFile;
use hax::config::fence::{
    AgentConfig, CommandConfig, Delay, DeviceConfig, DeviceKind, FenceConfig, HostCheck, Hosts,
    Readmit, Timeouts, Unfence,
};
use hax::fence::executor::{BootInstant, DeviceError, Executor, LocalProcesses, Run};
use hax::fence::model::{Action, Ended, NodeName, Target};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The hax of this build.
pub(crate) const HAX: &str = env!("CARGO_BIN_EXE_hax");

/// Longer than any run of these tests.
pub(crate) const LONG: Duration = Duration::from_secs(50);

/// No process of Motr is here.
struct NoProcesses;

impl LocalProcesses for NoProcesses {
    fn kill(&self, _: Fid, _: Duration) -> oneshot::Receiver<Ended> {
        oneshot::channel().1
    }

    fn all(&self) -> Vec<Fid> {
        Vec::new()
    }

    fn node(&self) -> NodeName {
        node("me")
    }
}

pub(crate) fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

/// An agent device for all nodes, with these parameters.
pub(crate) fn device(name: &str, program: &Path, parameters: &[(&str, &str)]) -> DeviceConfig {
    let parameters = parameters.iter();
    let parameters = parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let agent = AgentConfig {
        program: program.to_owned(),
        parameters: parameters.collect(),
        secrets: BTreeMap::new(),
        port_parameter: None,
    };
    DeviceConfig {
        name: name.parse().unwrap(),
        kind: DeviceKind::Agent(agent),
        peers: Vec::new(),
        hosts: Hosts {
            check: HostCheck::None,
            list: Vec::new(),
            map: BTreeMap::new(),
        },
        timeouts: timeouts(LONG),
        kill_grace: Duration::from_millis(300),
        retries: 0,
        delay: Delay::default(),
        concurrency: 1,
        parallel: false,
        unfence: Unfence::Metadata,
    }
}

/// One parameter whose value is in a file.
pub(crate) fn secret(name: &str, file: &Path) -> BTreeMap<String, SecretFile> {
    BTreeMap::from([(name.to_owned(), SecretFile::new(file.to_owned()))])
}

/// A device that is a shell script; TERM and KILL have `timeout` and 300 ms more.
pub(crate) fn shell(name: &str, script: &str, timeout: Duration) -> DeviceConfig {
    let command = CommandConfig {
        off: ["/bin/sh", "-c", script, "{target}", "{port}"]
            .map(str::to_owned)
            .to_vec(),
        on: None,
        reboot: None,
        status: None,
        monitor: None,
        list: None,
    };
    let mut device = device(name, Path::new("none"), &[]);
    device.kind = DeviceKind::Command(command);
    device.timeouts = timeouts(timeout);
    device
}

pub(crate) fn timeouts(all: Duration) -> Timeouts {
    Timeouts {
        off: all,
        on: all,
        reboot: all,
        status: all,
        monitor: all,
        list: all,
    }
}

/// The agent's part of a device.
pub(crate) fn agent(device: &mut DeviceConfig) -> &mut AgentConfig {
    match &mut device.kind {
        DeviceKind::Agent(agent) => agent,
        other => panic!("not an agent: {other:?}"),
    }
}

/// An executor with these devices.
pub(crate) async fn executor(devices: Vec<DeviceConfig>) -> Result<Executor, Vec<DeviceError>> {
    let second = Duration::from_secs(1);
    let config = FenceConfig {
        session_ttl: 10 * second,
        lock_delay: second,
        startup_grace: Duration::ZERO,
        expire: LONG,
        held_max: LONG,
        storm_targets: 3,
        storm_percent: 100,
        storm_window: second,
        loop_count: 3,
        loop_window: second,
        tolerance: Duration::ZERO,
        action: Action::Off,
        history_max: 10,
        history_age: LONG,
        audit_file: PathBuf::from("/dev/null"),
        drill_interval: Duration::ZERO,
        agent_dir: PathBuf::from("/usr/sbin"),
        boot_id_file: PathBuf::from("/proc/sys/kernel/random/boot_id"),
        readmit: Readmit::Reboot,
        devices,
        levels: Vec::new(),
        policies: Vec::new(),
        files: None,
    };
    let local = Arc::new(NoProcesses);
    Executor::prepare_by(PathBuf::from(HAX), &config, &node("me"), local).await
}

/// A run that may begin at once.
pub(crate) fn run(device: &str, action: Action, target: &str) -> Run {
    Run {
        device: device.parse().unwrap(),
        action,
        target: Target::Node(node(target)),
        start_by: BootInstant::now().after(LONG),
        cancel: CancellationToken::new(),
    }
}
