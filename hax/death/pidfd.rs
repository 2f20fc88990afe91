//! A pidfd: a process that cannot be mistaken for another, whatever becomes of its pid.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process, alive or dead.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has this pid now (`pidfd_open(2)`).
    ///
    /// # Errors
    /// `ESRCH`: there is none. `EMFILE`: too many files are open.
    pub(super) fn open(pid: Pid) -> io::Result<Self> {
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// As [`open`](Self::open), of a number.
    ///
    /// # Errors
    /// That is no pid; those of `open`.
    pub fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self::open(pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?)
    }

    /// Whether the process has ended. Its pid is not given away before that.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn has_died(&self) -> io::Result<bool> {
        has_died(&self.0)
    }

    /// Sends SIGKILL to this very process.
    ///
    /// # Errors
    /// `ESRCH`: it has ended and been reaped. `EPERM`.
    pub fn kill(&self) -> io::Result<()> {
        kill(&self.0)
    }

    /// Waits until the process has ended, for this long at most; whether it has. It blocks the thread.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn ends_within(&self, timeout: Duration) -> io::Result<bool> {
        ends_within(&self.0, timeout)
    }

    /// Lets the death be waited for.
    ///
    /// # Errors
    /// The runtime cannot watch the descriptor.
    pub(super) fn watch(self) -> io::Result<Watched> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe for the sake of types whose descriptor may change; \
                      an `OwnedFd` has one, open until the `AsyncFd` has let go of it"
        )]
        let fd = AsyncFd::with_interest(self.0, Interest::READABLE)?;
        Ok(Watched(fd))
    }
}

/// A process whose death can be waited for.
#[derive(Debug)]
pub(super) struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Waits until the process has ended.
    pub(super) async fn died(&self) -> io::Result<()> {
        // Ready once means ready for ever: a process dies once.
        self.0.readable().await.map(drop)
    }

    /// Whether the process has ended.
    pub(super) fn has_died(&self) -> io::Result<bool> {
        has_died(self.0.get_ref())
    }

    /// Sends SIGKILL; see [`PidFd::kill`].
    pub(super) fn kill(&self) -> io::Result<()> {
        kill(self.0.get_ref())
    }

    /// See [`PidFd::ends_within`].
    pub(super) fn ends_within(&self, timeout: Duration) -> io::Result<bool> {
        ends_within(self.0.get_ref(), timeout)
    }
}

fn kill(fd: &impl AsFd) -> io::Result<()> {
    Ok(pidfd_send_signal(fd, Signal::KILL)?)
}

fn has_died(fd: &impl AsFd) -> io::Result<bool> {
    ends_within(fd, Duration::ZERO)
}

fn ends_within(fd: &impl AsFd, timeout: Duration) -> io::Result<bool> {
    let end = Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

#[cfg(test)]
impl AsFd for PidFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
