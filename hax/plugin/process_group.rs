//! A child process in a group of its own, which is ended as a whole.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

/// A child and its group. Whoever lets go of it has killed the group.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    child: Child,
    group: Pid,
    /// Says that the child has ended without reaping it: until it is reaped, the group's number is
    /// nobody else's.
    pidfd: Option<AsyncFd<OwnedFd>>,
    reaped: bool,
}

impl ProcessGroup {
    /// Starts the command.
    ///
    /// # Errors
    /// It cannot be started, or there is no descriptor to watch it; nothing runs then.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command.process_group(0).spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let Some(group) = pid.and_then(Pid::from_raw) else {
            child.start_kill()?;
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut this = Self {
            child,
            group,
            pidfd: None,
            reaped: false,
        };
        let pidfd = pidfd_open(group, PidfdFlags::empty())?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; a descriptor of its own is all that it asks for, and an \
                      `OwnedFd` has one, open until the `AsyncFd` has let go of it"
        )]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
        this.pidfd = Some(pidfd);
        Ok(this)
    }

    /// Its process ID, which is the group's number.
    pub(super) fn id(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Its standard output, if it is piped and has not been taken.
    pub(super) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, if it is piped and has not been taken.
    pub(super) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits until the child has ended; others of the group may live on. Nothing is lost when it is dropped.
    pub(super) async fn ended(&self) {
        if let Some(pidfd) = &self.pidfd {
            // An error comes only when the runtime ends, and this future with it.
            let _ = pidfd.readable().await;
        }
    }

    /// Sends a signal to all of the group.
    pub(super) fn signal(&self, signal: Signal) {
        if !self.reaped {
            let _ = kill_process_group(self.group, signal);
        }
    }

    /// Waits for the child's end, kills what it has left in its group, and tells how it has ended.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub(super) async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.ended().await;
        self.signal(Signal::KILL);
        let status = self.child.wait().await?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
