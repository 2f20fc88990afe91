//! Wakes when a file appears in a directory: by inotify, or else after an interval.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tracing::debug;

/// A watch on a directory. Where the kernel has none to give, only time wakes.
#[derive(Debug)]
pub(super) struct Watch(Option<OwnedFd>);

impl Watch {
    /// Watches a directory.
    pub(super) fn new(path: &Path) -> Self {
        let watch = || -> rustix::io::Result<OwnedFd> {
            let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let what = WatchFlags::MOVED_TO
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::CREATE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF;
            inotify::add_watch(&fd, path, what)?;
            Ok(fd)
        };
        let watch = watch().inspect_err(|error| {
            debug!(path = %path.display(), %error, "no inotify, the directory is polled");
        });
        Self(watch.ok())
    }

    /// Waits until something has happened in the directory, a signal has come, or `timeout` is over. Which of
    /// these is not told: look again.
    pub(super) fn wait(&self, timeout: Duration) {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match &self.0 {
            Some(fd) => {
                let mut fds = [PollFd::new(fd, PollFlags::IN)];
                poll(&mut fds, Some(&timeout)).ok();
            }
            None => {
                poll(&mut [], Some(&timeout)).ok();
            }
        }
        self.drain();
    }

    /// The descriptor, for a runtime that waits by itself.
    pub(super) fn into_fd(self) -> Option<OwnedFd> {
        self.0
    }

    fn drain(&self) {
        if let Some(fd) = &self.0 {
            drain(fd);
        }
    }
}

/// Reads the events away: that there were some is all that counts.
pub(super) fn drain(fd: impl AsFd) {
    let mut buffer = [0; 4096];
    while matches!(rustix::io::read(&fd, &mut buffer), Ok(read) if read > 0) {}
}
