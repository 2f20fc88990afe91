//! The validated configuration of fencing: `[fence]`, `[[fence.device]]`, `[[fence.level]]` and
//! `[[fence.policy]]` (`rfc/12-fencing.md`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::SecretFile;
use crate::fence::model::{Action, DeviceName, NodeName};

/// `[fence]` with `enabled = true`.
#[derive(Debug, Clone)]
pub struct FenceConfig {
    /// TTL of the session of all locks; Consul takes 10 s or more.
    pub session_ttl: Duration,
    /// How long nobody gets a lock of a lost session.
    pub lock_delay: Duration,
    /// For how long after its start a daemon originates nothing by itself.
    pub startup_grace: Duration,
    /// After this long without a start a request never fires.
    pub expire: Duration,
    /// How long the storm guard keeps an operation at most.
    pub held_max: Duration,
    /// Targets within `storm_window` from which operations are held.
    pub storm_targets: u32,
    /// The same, in percent of the nodes of the catalog; the smaller one counts, but never less than 1.
    pub storm_percent: u32,
    /// See `storm_targets`.
    pub storm_window: Duration,
    /// Fencings of one target within `loop_window` from which on it is quarantined.
    pub loop_count: u32,
    /// See `loop_count`.
    pub loop_window: Duration,
    /// An equal success this recent is the answer to a trigger.
    pub tolerance: Duration,
    /// What triggers ask for: off or reboot.
    pub action: Action,
    /// Ended operations kept.
    pub history_max: u32,
    /// How long ended operations are kept.
    pub history_age: Duration,
    /// The audit file of this node.
    pub audit_file: PathBuf,
    /// How often every device is looked at (monitor, list, status); zero: never.
    pub drill_interval: Duration,
    /// Where agents are that are named without a path.
    pub agent_dir: PathBuf,
    /// A file whose content changes with every boot of the node.
    pub boot_id_file: PathBuf,
    /// Who brings a fenced node back.
    pub readmit: Readmit,
    /// Devices; names are unique.
    pub devices: Vec<DeviceConfig>,
    /// Levels.
    pub levels: Vec<LevelConfig>,
    /// Policies, the first that matches counts; never empty: without one, the default policy is here.
    pub policies: Vec<PolicyConfig>,
    /// The request files that the responder serves; none: it is off.
    pub files: Option<FilesConfig>,
}

impl FenceConfig {
    /// A device by its name.
    pub fn device(&self, name: &DeviceName) -> Option<&DeviceConfig> {
        self.devices.iter().find(|device| device.name == *name)
    }
}

/// Who brings a fenced node back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readmit {
    /// The node itself, when its boot ID shows that it has been started anew.
    Reboot,
    /// Only an operator.
    Operator,
}

/// `[fence.files]`: request and response directories of the responder (`fence_recorder`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    /// Where requests appear.
    pub request_dir: PathBuf,
    /// Where responses are written.
    pub response_dir: PathBuf,
    /// A request older than this never fires.
    pub max_age: Duration,
    /// UIDs whose requests are taken; root and the daemon's own always are.
    pub owners: Vec<u32>,
}

/// `[[fence.device]]`.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// Its name.
    pub name: DeviceName,
    /// What it is.
    pub kind: DeviceKind,
    /// The peers that can use it; empty: all.
    pub peers: Vec<NodeName>,
    /// What it can fence.
    pub hosts: Hosts,
    /// Bounds of one run.
    pub timeouts: Timeouts,
    /// Between TERM and KILL.
    pub kill_grace: Duration,
    /// Tries after the first one.
    pub retries: u8,
    /// Delay before off and reboot.
    pub delay: Delay,
    /// Users at one time, in the whole cluster; at least 1.
    pub concurrency: u8,
    /// Whether it may be used at the same time as the other devices of its level.
    pub parallel: bool,
    /// Whether it unfences.
    pub unfence: Unfence,
}

/// What a device can fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    /// How that is found out.
    pub check: HostCheck,
    /// By name, port as the name. Not with [`HostCheck::None`].
    pub list: Vec<NodeName>,
    /// Ports by name of the node: `2`, `2,3`, as the agent takes it.
    pub map: BTreeMap<NodeName, String>,
}

/// How is found out what a device can fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostCheck {
    /// Only what `hosts` and `ports` name.
    Static,
    /// What the device lists; named ports are translated. A watchdog: nodes that publish theirs as armed.
    Dynamic,
    /// Any target whose status the device can tell.
    Status,
    /// Anything. Must be asked for.
    None,
}

/// Bounds of one run, by action. Of a watchdog, off and reboot are its `timeout` and the kill grace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// off
    pub off: Duration,
    /// on
    pub on: Duration,
    /// reboot
    pub reboot: Duration,
    /// status
    pub status: Duration,
    /// monitor
    pub monitor: Duration,
    /// list
    pub list: Duration,
}

impl Timeouts {
    /// The bound of a fencing action.
    pub fn of(&self, action: Action) -> Duration {
        match action {
            Action::Off => self.off,
            Action::On => self.on,
            Action::Reboot => self.reboot,
        }
    }
}

/// Delay before off and reboot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delay {
    /// For all targets.
    pub base: Duration,
    /// Instead of `base`, by target.
    pub per_node: BTreeMap<NodeName, Duration>,
    /// Random part in addition: up to this.
    pub random: Duration,
}

/// Whether and how a device unfences a node that has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfence {
    /// As the metadata of its agent says; not at all for devices without an agent.
    Metadata,
    /// Not at all.
    Never,
    /// Its `on` is required.
    Automatic,
    /// Its `on` is required, and runs on the node itself.
    AutomaticOnTarget,
}

/// What a device is.
#[derive(Debug, Clone)]
pub enum DeviceKind {
    /// A fence agent.
    Agent(AgentConfig),
    /// Request and response directories that something else serves.
    Files(FilesDeviceConfig),
    /// Kills one Motr process through the hax of its node.
    Process,
    /// Commands, without a shell.
    Command(CommandConfig),
    /// The target fences itself.
    Watchdog(WatchdogConfig),
    /// Does nothing, with the result that is asked for; for tests and exercises.
    Dummy(DummyConfig),
}

/// A fence agent, by its stdin API. `Debug` shows names of parameters, never their values.
#[derive(Clone)]
pub struct AgentConfig {
    /// Its program: absolute, or a name below `fence.agent_dir`.
    pub program: PathBuf,
    /// Its parameters, as they are given on stdin.
    pub parameters: BTreeMap<String, String>,
    /// Parameters whose values are in files.
    pub secrets: BTreeMap<String, SecretFile>,
    /// The parameter that takes the port; none: `plug` or `port`, as the metadata says.
    pub port_parameter: Option<String>,
}

impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentConfig")
            .field("program", &self.program)
            .field("parameters", &self.parameters.keys())
            .field("secrets", &self.secrets)
            .field("port_parameter", &self.port_parameter)
            .finish()
    }
}

/// Request and response directories that something else serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesDeviceConfig {
    /// Where requests are written.
    pub request_dir: PathBuf,
    /// Where responses appear.
    pub response_dir: PathBuf,
}

/// Commands: program and arguments; `{target}` and `{port}` within an argument are replaced. Exit code 0
/// is success, 1 to 3 are the Executioner's classes; status as fence agents have it (0 on, 2 off).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandConfig {
    /// off; required.
    pub off: Vec<String>,
    /// on
    pub on: Option<Vec<String>>,
    /// reboot; without one, off and on.
    pub reboot: Option<Vec<String>>,
    /// status
    pub status: Option<Vec<String>>,
    /// monitor
    pub monitor: Option<Vec<String>>,
    /// list
    pub list: Option<Vec<String>>,
}

/// The target fences itself when it cannot renew its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchdogConfig {
    /// How long a peer waits until the target has acted; at least `session_ttl` + `stop_max`.
    pub timeout: Duration,
    /// How long the target takes at most to act.
    pub stop_max: Duration,
    /// What the target does after it has stopped its Motr processes.
    pub action: WatchdogAction,
}

/// What a node does to itself after it has stopped its Motr processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchdogAction {
    /// Nothing more.
    Processes,
    /// A command.
    Command(Vec<String>),
    /// The kernel's immediate reboot (sysrq `b`).
    Reboot,
}

/// Does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DummyConfig {
    /// What every action ends with.
    pub succeed: bool,
    /// How long every action takes.
    pub takes: Duration,
}

/// `[[fence.level]]`.
#[derive(Debug, Clone)]
pub struct LevelConfig {
    /// For which targets.
    pub target: LevelTarget,
    /// 1 to 9.
    pub level: u8,
    /// Devices, at least one; each is configured.
    pub devices: Vec<DeviceName>,
}

/// For which targets a level is. A name counts before a pattern, a pattern before an attribute.
#[derive(Debug, Clone)]
pub enum LevelTarget {
    /// This node.
    Name(NodeName),
    /// Nodes whose whole name matches; it is anchored at both ends.
    Pattern(regex::Regex),
    /// Nodes whose metadata in Consul's catalog has this.
    Attribute {
        /// Key of the metadata.
        key: String,
        /// Its value.
        value: String,
    },
}

/// `[[fence.policy]]`: what is done about a failure.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// For log and `explain`.
    pub name: String,
    /// Names of services (`ios`, `confd`) or fids of processes, as [`halink::Fid`] is displayed; empty:
    /// all processes.
    pub processes: Vec<String>,
    /// What it is for; empty: all but [`Trigger::Motr`].
    pub triggers: Vec<Trigger>,
    /// For [`Trigger::Motr`]: on how many nodes at least there have to be processes that report it.
    pub reporters: u32,
    /// How long the failure must have lasted.
    pub after: Duration,
    /// Operations for one target within `window` at most.
    pub max: u32,
    /// See `max`.
    pub window: Duration,
    /// off, reboot, or nothing.
    pub action: Option<Action>,
    /// Whether the node is fenced if its process cannot be.
    pub escalate: bool,
}

/// What can set fencing off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The check of a process is critical.
    Check,
    /// The bridge has isolated it.
    Isolate,
    /// `serfHealth` of the node is critical.
    NodeLost,
    /// Other Motr processes report it. Only where it is asked for.
    Motr,
}

/// How long a report of Motr counts that is not taken back.
pub const REPORT_MAX: Duration = Duration::from_secs(600);
