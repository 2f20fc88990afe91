//! The pidfds of the processes that were identified, by fid: what a fence of a process kills by
//! (`rfc/12-fencing.md`, "Killing a process").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use halink::Fid;
use serde::{Deserialize, Serialize};

use super::pidfd::Watched;
use super::procfs::Proc;
use super::proof::{self, Unproven, ticks};

/// A process that has been identified, so that it can be told from all others of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identified {
    /// Its pid.
    pub pid: u32,
    /// When it was started, in clock ticks since boot (`proc(5)`, `stat`, field 22).
    pub started: u64,
    /// Its fid.
    pub process: Fid,
}

/// A process that was identified.
#[derive(Debug, Clone)]
pub(super) struct Proven {
    pub(super) pid: u64,
    /// When it was started, in clock ticks since boot.
    pub(super) started: u64,
    pub(super) fd: Arc<Watched>,
}

impl Proven {
    /// Whether it may be alive; also so if the kernel does not say.
    fn may_live(&self) -> bool {
        !self.fd.has_died().unwrap_or(false)
    }
}

/// A process that has spoken and could not be identified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stranger {
    /// What it says its pid is.
    pub(super) pid: u64,
    /// By this time since boot it had been started.
    pub(super) heard: Duration,
    /// Why it was not identified.
    pub(super) reason: Unproven,
}

impl Stranger {
    /// Whether it may be alive. What has its pid in our pid namespace is it, or was started after it
    /// had ended; a pid of another namespace or machine tells nothing.
    pub(super) fn may_live(&self, proc: &Proc) -> bool {
        match self.reason {
            Unproven::NoProcess | Unproven::Younger | Unproven::Died => false,
            Unproven::Stranger | Unproven::OtherListener | Unproven::NoWatch(_) => {
                let pid = u32::try_from(self.pid);
                pid.is_ok_and(|pid| match proc.started(pid) {
                    Ok(started) => started <= ticks(self.heard),
                    Err(error) => error.kind() != std::io::ErrorKind::NotFound,
                })
            }
            Unproven::NoPid
            | Unproven::NoProc(_)
            | Unproven::Namespace
            | Unproven::Elsewhere
            | Unproven::Rival => true,
        }
    }
}

/// What is known of the processes that have had one fid.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    /// The endpoint of the newest one.
    pub(super) endpoint: String,
    /// Whether the newest one is among the proven.
    pub(super) identified: bool,
    /// One that has spoken and could not be identified. It is not forgotten when another speaks: it
    /// may hang, and write.
    pub(super) stranger: Option<Stranger>,
    /// The newest one is in the kernel: it has no process that could end.
    pub(super) kernel: bool,
    /// The newest one last. Older ones are there while they live: they may hang.
    pub(super) proven: Vec<Proven>,
}

/// Holdings by fid. They outlast links: a process whose link was dropped may write.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<Fid, Holding>);

impl Held {
    /// A process says that it is this one; it is to be identified. At most `max` fids are held: those
    /// whose processes have ended give way, and one for which there is no place is looked for in
    /// `/proc` when it is to be killed.
    pub(super) fn claimed(&mut self, process: Fid, pid: u64, endpoint: &str, max: usize) {
        if self.0.len() >= max && !self.0.contains_key(&process) {
            self.0.retain(|_, holding| holding.may_live());
            if self.0.len() >= max {
                return;
            }
        }
        let holding = self.0.entry(process).or_default();
        endpoint.clone_into(&mut holding.endpoint);
        holding.identified = false;
        holding.kernel = pid == 0;
        holding.proven.retain(Proven::may_live);
    }

    /// It was identified. `newest`: no other has claimed to be it meanwhile.
    pub(super) fn proven(&mut self, process: Fid, proven: Proven, newest: bool) {
        if let Some(holding) = self.0.get_mut(&process) {
            holding.identified |= newest;
            holding.proven.push(proven);
        }
    }

    /// One that has spoken could not be identified.
    pub(super) fn stranger(&mut self, process: Fid, pid: u64, reason: Unproven) {
        if let Some(holding) = self.0.get_mut(&process) {
            let heard = proof::since_boot();
            holding.stranger = Some(Stranger { pid, heard, reason });
        }
    }

    /// Another process is about to claim that it is this one.
    pub(super) fn reborn(&mut self, process: Fid) {
        if let Some(holding) = self.0.get_mut(&process) {
            holding.identified = false;
        }
    }

    pub(super) fn of(&self, process: Fid) -> Option<Holding> {
        self.0.get(&process).cloned()
    }

    /// The processes that were identified and may be alive.
    pub(super) fn identified(&self) -> Vec<Identified> {
        let each = |(process, holding): (&Fid, &Holding)| {
            let proven = holding.proven.iter().filter(|proven| proven.may_live());
            let identified = proven.filter_map(|proven| {
                Some(Identified {
                    pid: u32::try_from(proven.pid).ok()?,
                    started: proven.started,
                    process: *process,
                })
            });
            identified.collect::<Vec<_>>()
        };
        self.0.iter().flat_map(each).collect()
    }

    /// Whether the process with this pid was identified and is held, alive or not.
    pub(super) fn has(&self, process: Fid, pid: u64) -> bool {
        let holding = self.0.get(&process);
        holding.is_some_and(|holding| holding.proven.iter().any(|proven| proven.pid == pid))
    }

    /// The fids whose newest process was identified, alive or not.
    pub(super) fn accounted(&self) -> impl Iterator<Item = Fid> {
        let accounted = self.0.iter().filter(|(_, holding)| holding.identified);
        accounted.map(|(process, _)| *process)
    }

    /// The fids that may have a process.
    pub(super) fn alive(&self) -> Vec<Fid> {
        let alive = self.0.iter().filter(|(_, holding)| holding.may_live());
        alive.map(|(process, _)| *process).collect()
    }
}

impl Holding {
    fn may_live(&self) -> bool {
        !self.identified || self.proven.iter().any(Proven::may_live)
    }
}
