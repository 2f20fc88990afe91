//! Ending a Motr process of this machine for certain (`rfc/12-fencing.md`, "Killing a process").
//!
//! Everything here waits, and asks nothing of the runtime: it works when that is stuck.

use std::io;
use std::time::{Duration, Instant};

use halink::Fid;
use rustix::io::Errno;

use super::held::{Holding, Proven, Stranger};
use super::pidfd::PidFd;
use super::procfs::Proc;
use super::proof::{self, Claim, Unproven};
use super::table::Deaths;

/// How often `/proc` is searched until nothing is found any more: a process may just be starting its
/// successor.
const ROUNDS: usize = 5;

/// Why a process is not known to have ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Survives {
    /// It has not ended in time.
    #[error("pid {0} was sent SIGKILL and has not ended in time")]
    InTime(u64),
    /// The kernel refuses to kill it.
    #[error("pid {pid} cannot be killed: {error}")]
    Signal {
        /// The pid.
        pid: u64,
        /// What the kernel said.
        error: io::ErrorKind,
    },
    /// It is not known which process it is, or whether there is one.
    #[error("it is not known to have ended: {0}")]
    Unknown(String),
}

impl Deaths {
    /// Kills every process of this machine that is `process`, and waits until they have ended.
    /// Returns what shows that none is left. A process that was not identified is never killed.
    ///
    /// It blocks: for a thread that may wait.
    ///
    /// # Errors
    /// Why a process may be left.
    pub fn kill(&self, proc: &Proc, process: Fid, timeout: Duration) -> Result<String, Survives> {
        let deadline = Instant::now() + timeout;
        let holding = self.holding(process);
        if holding.as_ref().is_some_and(|holding| holding.kernel) {
            let why = "it runs in the kernel".to_owned();
            return Err(Survives::Unknown(why));
        }
        let stranger = holding.as_ref().and_then(|holding| holding.stranger);
        let mut shown = Vec::new();
        for proven in holding.iter().flat_map(|holding| &holding.proven) {
            let killed = signal(proven)?;
            wait(proven, deadline)?;
            let pid = proven.pid;
            shown.push(match killed {
                true => format!("pid {pid} was killed and has ended"),
                false => format!("pid {pid} had ended"),
            });
        }
        let identified = holding.as_ref().is_some_and(|holding| holding.identified);
        if !identified || shown.is_empty() {
            let endpoint = holding.map(|holding: Holding| holding.endpoint);
            shown.extend(search(proc, process, endpoint.as_deref(), deadline)?);
        }
        if let Some(Stranger { pid, reason, .. }) = stranger.filter(|it| it.may_live(proc)) {
            let why =
                format!("a process that says that it is pid {pid} has spoken for it, and {reason}");
            return Err(Survives::Unknown(why));
        }
        Ok(shown.join("; "))
    }
}

/// Kills what was identified; false: it had ended before.
fn signal(proven: &Proven) -> Result<bool, Survives> {
    let refused = |error: io::Error| Survives::Signal {
        pid: proven.pid,
        error: error.kind(),
    };
    if proven.fd.has_died().map_err(refused)? {
        return Ok(false);
    }
    match proven.fd.kill() {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(false),
        Err(error) => Err(refused(error)),
    }
}

fn wait(proven: &Proven, deadline: Instant) -> Result<(), Survives> {
    let left = deadline.saturating_duration_since(Instant::now());
    match proven.fd.ends_within(left) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Survives::InTime(proven.pid)),
        Err(error) => Err(Survives::Signal {
            pid: proven.pid,
            error: error.kind(),
        }),
    }
}

/// Kills the processes that can be proven to be this one, until there are none that may be.
fn search(
    proc: &Proc,
    process: Fid,
    endpoint: Option<&str>,
    deadline: Instant,
) -> Result<Vec<String>, Survives> {
    let unknown = |why: String| Survives::Unknown(why);
    if !proc.shows_all() {
        let why = "/proc does not show every process of this machine";
        return Err(unknown(why.to_owned()));
    }
    let mut shown = Vec::new();
    for _ in 0..ROUNDS {
        let claim = |pid: u32| Claim {
            process,
            pid: pid.into(),
            endpoint: endpoint.unwrap_or_default().to_owned(),
            heard: proof::since_boot(),
        };
        let found = proof::suspects(proc, &claim(0)).map_err(|error| {
            unknown(format!(
                "a process of this machine cannot be looked at: {error}"
            ))
        })?;
        let mut open = Vec::new();
        let mut unproven = None;
        for pid in found {
            match proof::open(proc, &claim(pid)) {
                Ok((fd, _)) => open.push((pid, fd)),
                Err(Unproven::NoProcess | Unproven::Died) => {}
                Err(reason) => unproven = Some((pid, reason)),
            }
        }
        if open.is_empty() {
            return match unproven {
                None => {
                    shown.push(format!("no process of this machine is {process}"));
                    Ok(shown)
                }
                Some((pid, reason)) => Err(unknown(format!("pid {pid} may be it, but {reason}"))),
            };
        }
        for (pid, fd) in open {
            let killed = signal_and_wait(pid, &fd, deadline)?;
            shown.push(killed);
        }
    }
    Err(unknown("it is started again and again".to_owned()))
}

fn signal_and_wait(pid: u32, fd: &PidFd, deadline: Instant) -> Result<String, Survives> {
    let pid = u64::from(pid);
    let refused = |error: io::Error| Survives::Signal {
        pid,
        error: error.kind(),
    };
    match fd.kill() {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
        Err(error) => return Err(refused(error)),
    }
    let left = deadline.saturating_duration_since(Instant::now());
    match fd.ends_within(left).map_err(refused)? {
        true => Ok(format!("pid {pid} was found, killed, and has ended")),
        false => Err(Survives::InTime(pid)),
    }
}
