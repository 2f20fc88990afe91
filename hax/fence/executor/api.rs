//! What the executor is asked for, and what it says (`rfc/12-fencing.md`, "Words").

use std::time::Duration;

use halink::Fid;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::fence::model::{Action, DeviceName, Ended, NodeName, Target};

/// One run: one action on one target through one device, tried exactly once.
#[derive(Debug, Clone)]
pub struct Run {
    /// Through which device.
    pub device: DeviceName,
    /// What.
    pub action: Action,
    /// On whom.
    pub target: Target,
    /// Nothing is spawned after this instant of CLOCK_BOOTTIME.
    pub start_by: BootInstant,
    /// Ends the run: the agent is killed, the result is `killed`.
    pub cancel: CancellationToken,
}

/// An instant of CLOCK_BOOTTIME: it goes on while the machine sleeps, and is the same for all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(pub Duration);

impl BootInstant {
    /// Now.
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let secs = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        Self(Duration::new(secs, nanos))
    }

    /// Whole milliseconds of it.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Later by a duration.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// What a target's power is, as a device says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// On.
    On,
    /// Off.
    Off,
    /// The device did not say.
    Unknown,
}

/// What a device lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The port.
    pub port: String,
    /// The alias beside it, if there is one.
    pub alias: Option<String>,
}

/// What a device can do, as the metadata of its agent says, or as its kind is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traits {
    /// It knows `on`.
    pub on: bool,
    /// It knows `reboot`; else that is off, then on.
    pub reboot: bool,
    /// It knows `list`.
    pub list: bool,
    /// It knows `status`.
    pub status: bool,
    /// Its `on` is required to unfence.
    pub automatic: bool,
    /// Its `on` runs on the target itself.
    pub on_target: bool,
}

/// The Motr processes of this node, for `process` and `watchdog` devices. The bridge implements it.
pub trait LocalProcesses: Send + Sync + 'static {
    /// Kills a process with SIGKILL through its pidfd, and waits until it has ended; a process that has
    /// ended before is fine. The answer comes when it is over, or when `timeout` has.
    fn kill(&self, process: Fid, timeout: Duration) -> oneshot::Receiver<Ended>;

    /// The processes of this node that may be alive.
    fn all(&self) -> Vec<Fid>;

    /// This node's name.
    fn node(&self) -> NodeName;
}
