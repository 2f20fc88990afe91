//! The record of an operation under `fence/ops/<id>` (`rfc/13-fencing-protocol.md`, "An operation").

use serde::{Deserialize, Serialize};

use super::names::{DeviceName, NodeName, OpId, Target};

/// Requests of others that an operation remembers to have served.
pub const JOINED_MAX: usize = 32;

/// Bytes of the evidence of one run.
pub const EVIDENCE_MAX: usize = 1024;

/// What is done to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It cannot write until it is switched on.
    Off,
    /// It may take part again: unfencing.
    On,
    /// Off, then on.
    Reboot,
}

impl Action {
    /// Its name, as fence agents take it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Reboot => "reboot",
        }
    }

    /// Whether it keeps the target from writing.
    pub fn fences(self) -> bool {
        self != Self::On
    }
}

/// Milliseconds since 1970, by the clock of whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `haxctl` or HTTP.
    Operator,
    /// A process has failed.
    ProcessFailed,
    /// The fence of a process did not succeed.
    Escalation,
    /// `serfHealth` is critical.
    NodeLost,
    /// A request file.
    Files,
    /// A node that has returned unfences itself.
    Readmission,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The node whose hax was asked.
    pub node: NodeName,
    /// By what.
    pub source: Source,
    /// By whom, for people: a user, the ID of a request file, a check.
    pub who: String,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: UnixMillis,
}

/// How an operation is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Options {
    /// Gates are passed: who says so, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<String>,
    /// This device only, without levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// Delay before the first step, in addition to that of its device.
    #[serde(default)]
    pub delay_ms: u64,
    /// After this long without a start the operation expires.
    pub expire_ms: u64,
    /// An operator's word while a run was under way: how it ends as soon as none is, if it has not
    /// ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<End>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operation {
    /// Its number.
    pub id: OpId,
    /// What is fenced.
    pub target: Target,
    /// How.
    pub action: Action,
    /// The first request.
    pub origin: Origin,
    /// Equal requests that joined it; at most [`JOINED_MAX`].
    #[serde(default)]
    pub joined: Vec<Origin>,
    /// How it is to be done.
    pub options: Options,
    /// Who takes the decisions.
    pub driver: NodeName,
    /// Where it is.
    pub phase: Phase,
    /// Fixed when it is activated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// How the target was when the operation was activated.
    #[serde(default)]
    pub before: Before,
    /// In the order in which they were delegated.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

/// How a target was when its operation was activated. What came after may be the target's next life, which
/// the operation says nothing of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Before {
    /// The boot ID that the node had published last; for nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// `ModifyIndex` of `processes/<fid>`, 0 without one; for processes.
    #[serde(default)]
    pub word: u64,
}

/// Where an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum Phase {
    /// Asked for.
    Requested,
    /// A gate keeps it.
    Held {
        /// Which, and why.
        reason: String,
        /// Since when.
        since: UnixMillis,
    },
    /// Steps are being done.
    Active,
    /// It is over.
    Ended(End),
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct End {
    /// What came of it.
    pub outcome: Outcome,
    /// Why, for people.
    pub detail: String,
    /// When.
    pub at: UnixMillis,
}

/// What came of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step of a level was confirmed.
    Succeeded,
    /// An operator has confirmed it.
    Confirmed,
    /// No level could do it.
    Failed,
    /// No level could do it, and of at least one run nobody knows how it ended.
    Indeterminate,
    /// It was never begun.
    Refused(Refusal),
    /// An operator ended it.
    Cancelled,
    /// It was not begun in time.
    Expired,
}

impl Outcome {
    /// Whether the target is known to be fenced, or unfenced where that was asked.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Succeeded | Self::Confirmed)
    }
}

/// Why an operation is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Consul has no leader, or did not answer.
    #[error("there is no quorum: Consul has no leader, or does not answer")]
    NoQuorum,
    /// No level and no device is for this target.
    #[error("no device is configured for this target")]
    NoDevice,
    /// Nobody but the target itself could do it.
    #[error("no peer but the target itself could do it")]
    NoPeer,
    /// Maintenance.
    #[error("fencing of this target is inhibited")]
    Inhibited,
    /// The loop breaker has spoken.
    #[error("the node is quarantined")]
    Quarantined,
    /// Nobody knows this node.
    #[error("Consul's catalog has no such node")]
    UnknownTarget,
    /// The daemon has just started.
    #[error("the bridge has just started")]
    StartupGrace,
    /// Another operation of the target has not ended in time, or a run of it may not be overtaken.
    #[error("another operation of this target has not ended")]
    Busy,
    /// There is no such operation, or it is not in a phase in which this can be done.
    #[error("the operation is not known, or has ended")]
    NoOperation,
    /// This bridge has no fencing configured.
    #[error("fencing is not configured here")]
    NotConfigured,
    /// The coordinator of this bridge has ended, or is about to. In no record.
    #[error("the bridge is stopping")]
    Stopping,
}

/// What is to be done, in which order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// The epoch of the node it was made for.
    pub epoch: u64,
    /// Never empty; tried one after another until one succeeds.
    pub levels: Vec<Level>,
}

/// Devices that are used together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Level {
    /// 1 to 9; 0 where there is no topology.
    pub level: u8,
    /// In order; all must succeed, but for those that are not `required`.
    pub steps: Vec<Step>,
}

/// One action through one device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// Through which device.
    pub device: DeviceName,
    /// What.
    pub action: Action,
    /// Adjacent steps with the same group may be run at once by one delegate.
    pub group: u8,
    /// Without it the level has failed. Not so for the `on` of a reboot through several devices.
    pub required: bool,
    /// Tries at most, at least one.
    pub tries: u8,
    /// Fixed part of the delay before it.
    pub delay_ms: u64,
    /// Random part of the delay, at most.
    pub delay_max_ms: u64,
    /// From the start of the run to its certain end: timeout and kill grace.
    pub run_max_ms: u64,
    /// It runs on the target itself, and nowhere else (`process`, `on_target`).
    pub on_target: bool,
}

/// One try of one step, or of the several steps of a group at once, by one delegate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Index into the plan's levels.
    pub level: usize,
    /// Indices into the level's steps; never empty.
    pub steps: Vec<usize>,
    /// The delegate.
    pub peer: NodeName,
    /// Whether it had verified that it reaches the devices.
    pub verified: bool,
    /// Where it is.
    pub state: AttemptState,
}

/// Where an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum AttemptState {
    /// The delegate may start it.
    Delegated,
    /// An agent may be running.
    Running {
        /// The delegate's session, which holds the target's lock.
        session: String,
        /// When, by the delegate's clock; for people.
        since: UnixMillis,
    },
    /// It is over.
    Ended {
        /// One for each of its steps.
        runs: Vec<Ended>,
    },
}

/// How one run ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ended {
    /// The result class.
    pub result: RunResult,
    /// What shows it: exit code, the last lines of the agent, who was killed. Secrets are blotted out;
    /// at most [`EVIDENCE_MAX`] bytes.
    pub evidence: String,
    /// How long it took.
    pub took_ms: u64,
}

/// Result classes of one run: those of the Executioner, and what it leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunResult {
    /// 0: the device has acknowledged it.
    Success,
    /// 1: the device could not be reached.
    Unreachable,
    /// 2: the device tried, and did not acknowledge.
    NotAcknowledged,
    /// 3: internal failure of the device, the agent or of its input.
    Internal,
    /// 4: it took longer than it may, and was ended.
    Timeout,
    /// 5: the agent was killed, or its session was lost before it was spawned.
    Killed,
    /// 6: not begun.
    Refused,
    /// 7: there is no such agent on the delegate.
    NotInstalled,
    /// 8: nobody knows how it ended; the target may be fenced.
    Indeterminate,
}

impl RunResult {
    /// The number of the class.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether another peer may do better with the same device.
    pub fn another_peer_may(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Killed | Self::Refused | Self::NotInstalled
        )
    }
}

impl Operation {
    /// Whether it is over.
    pub fn ended(&self) -> Option<&End> {
        match &self.phase {
            Phase::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// The attempt that is not over, with its index. There is at most one.
    pub fn open_attempt(&self) -> Option<(usize, &Attempt)> {
        let last = self.attempts.len().checked_sub(1)?;
        let attempt = self.attempts.last()?;
        (!matches!(attempt.state, AttemptState::Ended { .. })).then_some((last, attempt))
    }

    /// The steps of an attempt.
    pub fn steps_of(&self, attempt: &Attempt) -> impl Iterator<Item = &Step> {
        let level = self
            .plan
            .as_ref()
            .and_then(|plan| plan.levels.get(attempt.level));
        let steps = attempt.steps.iter();
        steps.filter_map(move |step| level?.steps.get(*step))
    }

    /// How long an attempt may run at most, in milliseconds.
    pub fn run_max_ms(&self, attempt: &Attempt) -> u64 {
        self.steps_of(attempt)
            .map(|step| step.run_max_ms)
            .max()
            .unwrap_or(0)
    }
}
