//! Whether the process behind a pid is the Motr process that named it (`rfc/10-death-watch.md`,
//! "Identity").

use std::io;
use std::time::Duration;

use halink::Fid;
use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use thiserror::Error;

use super::endpoint::Address;
use super::pidfd::PidFd;
use super::procfs::Proc;
use super::sockets;

/// What a process says of itself.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Its fid.
    pub process: Fid,
    /// Its pid, in its own pid namespace.
    pub pid: u64,
    /// Its endpoint.
    pub endpoint: String,
    /// When it said so, since boot (`CLOCK_BOOTTIME`).
    pub heard: Duration,
}

/// What identified a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// It holds the listening socket of its endpoint.
    Socket,
    /// Its arguments name its fid or its endpoint.
    Arguments,
}

/// Why a process is not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unproven {
    /// Pid 0, as processes in the kernel have, or none that can be.
    #[error("it names no pid of a process")]
    NoPid,
    /// There is none here, or no longer.
    #[error("no process has that pid here")]
    NoProcess,
    /// `/proc` is missing, hidden, or that of another pid namespace.
    #[error("/proc does not show it: {0}")]
    NoProc(io::ErrorKind),
    /// The process with that pid is in a pid namespace of its own.
    #[error("the process with that pid is in another pid namespace")]
    Namespace,
    /// The pid has been given anew.
    #[error("the process with that pid was started later")]
    Younger,
    /// Nothing ties the process with that pid to the fid.
    #[error("the process with that pid names neither the fid nor the endpoint")]
    Stranger,
    /// Another process listens on the endpoint.
    #[error("another process listens on the endpoint")]
    OtherListener,
    /// The endpoint is not of this machine.
    #[error("the endpoint has no address of this machine")]
    Elsewhere,
    /// A process in a container has the same pid there and the same fid.
    #[error("a process of another pid namespace may have said it")]
    Rival,
    /// It ended before it was identified.
    #[error("it ended before it was identified")]
    Died,
    /// The kernel did not give a pidfd.
    #[error("it cannot be watched: {0}")]
    NoWatch(io::ErrorKind),
}

/// The time since boot, as `/proc/<pid>/stat` counts it.
pub(super) fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Opens a pidfd on the process that a claim names, and identifies it while it lives.
///
/// Reads `/proc`: for a thread that may wait.
pub(super) fn open(proc: &Proc, claim: &Claim) -> Result<(PidFd, Evidence), Unproven> {
    let (number, pid) = pids(claim.pid).ok_or(Unproven::NoPid)?;
    let fd = PidFd::open(pid).map_err(|error| match error.kind() {
        _ if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            Unproven::NoProcess
        }
        kind => Unproven::NoWatch(kind),
    })?;
    let evidence = prove(proc, number, claim);
    // What was read was about this process only if its pid is still its own.
    match fd.has_died() {
        Ok(false) => Ok((fd, evidence?)),
        Ok(true) => Err(Unproven::Died),
        Err(error) => Err(Unproven::NoWatch(error.kind())),
    }
}

fn pids(pid: u64) -> Option<(u32, Pid)> {
    let raw = i32::try_from(pid).ok()?;
    Some((u32::try_from(raw).ok()?, Pid::from_raw(raw)?))
}

/// Identifies the process that has `pid` now. It holds only for as long as the process lives.
///
/// # Errors
/// What speaks against it, or that nothing speaks for it.
pub fn prove(proc: &Proc, pid: u32, claim: &Claim) -> Result<Evidence, Unproven> {
    let unseen = |error: io::Error| Unproven::NoProc(error.kind());
    if !proc.is_ours() {
        return Err(Unproven::NoProc(io::ErrorKind::NotFound));
    }
    if proc.namespace_pids(pid).map_err(unseen)? != [pid] {
        return Err(Unproven::Namespace);
    }
    if proc.started(pid).map_err(unseen)? > ticks(claim.heard) {
        return Err(Unproven::Younger);
    }
    let address = Address::of(&claim.endpoint);
    let listeners = sockets::listeners(proc, pid, &address);
    if !listeners.is_empty()
        && let Ok(open) = proc.sockets(pid)
    {
        let holds = listeners.iter().any(|inode| open.contains(inode));
        return holds
            .then_some(Evidence::Socket)
            .ok_or(Unproven::OtherListener);
    }
    if !names(&proc.arguments(pid).map_err(unseen)?, claim) {
        return Err(Unproven::Stranger);
    }
    if !address.is_local() {
        return Err(Unproven::Elsewhere);
    }
    if has_rival(proc, pid, claim).map_err(unseen)? {
        return Err(Unproven::Rival);
    }
    Ok(Evidence::Arguments)
}

/// The processes that may be the one of a claim, whatever its pid: they name it, or listen on its
/// endpoint. Whether one is, [`open`] says.
///
/// # Errors
/// A process cannot be looked at, so it may be it.
pub(super) fn suspects(proc: &Proc, claim: &Claim) -> io::Result<Vec<u32>> {
    let me = std::process::id();
    let address = Address::of(&claim.endpoint);
    let listeners = sockets::listeners(proc, me, &address);
    let mut held = false;
    let mut found = Vec::new();
    for pid in proc.pids()?.into_iter().filter(|pid| *pid != me) {
        // Arguments can be read by all who see the process; sockets by its own user and root.
        let named = match proc.arguments(pid) {
            Ok(arguments) => names(&arguments, claim),
            Err(error) if has_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        let holds = !listeners.is_empty()
            && proc
                .sockets(pid)
                .is_ok_and(|open| listeners.iter().any(|inode| open.contains(inode)));
        held |= holds;
        if named || holds {
            found.push(pid);
        }
    }
    // Who has ended meanwhile listens no more.
    if !listeners.is_empty() && !held && !sockets::listeners(proc, me, &address).is_empty() {
        let why = "somebody listens on the endpoint who cannot be seen";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(found)
}

fn has_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Rounded down, as the kernel rounds the start of a process.
pub(super) fn ticks(time: Duration) -> u64 {
    let ticks = time.as_nanos() * u128::from(clock_ticks_per_second()) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Whether an argument is the fid or the endpoint.
fn names(arguments: &[String], claim: &Claim) -> bool {
    let is_it = |text: &str| {
        let endpoint = text.strip_suffix(claim.endpoint.as_str());
        let prefixed = endpoint.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with(':'));
        text.parse() == Ok(claim.process) || prefixed && !claim.endpoint.is_empty()
    };
    arguments.iter().any(|argument| {
        let value = argument.split_once('=').map(|(_, value)| value);
        is_it(argument) || value.is_some_and(is_it)
    })
}

/// Whether a process of a pid namespace below ours has this pid there, and names the same.
fn has_rival(proc: &Proc, pid: u32, claim: &Claim) -> io::Result<bool> {
    let rival = |other: &u32| {
        // Processes come and go.
        let pids = proc.namespace_pids(*other).unwrap_or_default();
        pids.len() > 1
            && pids.last() == Some(&pid)
            && proc
                .arguments(*other)
                .is_ok_and(|arguments| names(&arguments, claim))
    };
    Ok(proc.pids()?.iter().any(rival))
}
