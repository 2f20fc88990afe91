//! The child process: how it is started, asked, listened to and ended.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::lines::LineReader;
use super::parse::LINE_MAX;

/// Where it finds programs, if it is a script.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes of a line of its standard error that are kept.
const COMPLAINT_MAX: usize = 1024;

/// Lines of its standard error that are logged.
const COMPLAINTS_MAX: u64 = 64;

/// `drbdsetup events2`, with the ends of its pipes.
pub(super) struct Events2 {
    pub(super) process: Process,
    pub(super) stdin: ChildStdin,
    pub(super) lines: LineReader<ChildStdout>,
    pub(super) complaints: Complaints,
}

/// Starts it. It ends when its standard input does, so it does not outlive a daemon that is killed.
pub(super) fn start(program: &Path) -> io::Result<Events2> {
    let mut command = Command::new(program);
    command
        .args(["events2", "--full", "--poll"])
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Signals of a terminal are not for it.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(io::Error::other("it has no pipes"));
    };
    let group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    Ok(Events2 {
        process: Process { child, group },
        stdin,
        lines: LineReader::new(stdout, LINE_MAX),
        complaints: Complaints::new(stderr),
    })
}

/// Asks for statistics at every interval, once `complete` has been told; never, if it is zero. Ends only with an error.
pub(super) async fn ask(mut stdin: ChildStdin, interval: Duration, complete: &Notify) -> io::Error {
    complete.notified().await;
    if interval.is_zero() {
        std::future::pending::<()>().await;
    }
    loop {
        sleep(interval).await;
        if let Err(error) = stdin.write_all(b"n\n").await {
            return error;
        }
    }
}

/// The process and its group.
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
}

impl Process {
    /// Waits until it has ended: for `grace` if it is `leaving` by itself, then for `grace` after TERM, then for
    /// `grace` after KILL. `None`: not even then, the kernel holds it.
    pub(super) async fn end(
        mut self,
        leaving: bool,
        grace: Duration,
        complaints: &mut Complaints,
    ) -> Option<ExitStatus> {
        let mut status = None;
        if leaving {
            status = self.ended(grace, complaints).await;
        }
        for signal in [Signal::TERM, Signal::KILL] {
            if status.is_none() {
                self.signal(signal);
                status = self.ended(grace, complaints).await;
            }
        }
        // What a script has started. The number of a group is not given away while somebody is in it, and not
        // that soon otherwise.
        self.signal(Signal::KILL);
        status
    }

    async fn ended(&mut self, grace: Duration, complaints: &mut Complaints) -> Option<ExitStatus> {
        let status = tokio::select! {
            status = timeout(grace, self.child.wait()) => status.ok()?.ok(),
            () = complaints.follow() => None,
        };
        // The last words are in the pipe by now; somebody else may hold it open.
        let _ = timeout(grace, complaints.drain()).await;
        status
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// What it writes to its standard error.
pub(super) struct Complaints {
    lines: LineReader<ChildStderr>,
    count: u64,
    last: Option<String>,
}

impl Complaints {
    fn new(stderr: ChildStderr) -> Self {
        Self {
            lines: LineReader::new(stderr, COMPLAINT_MAX),
            count: 0,
            last: None,
        }
    }

    /// Logs what comes; never returns.
    pub(super) async fn follow(&mut self) {
        self.drain().await;
        std::future::pending().await
    }

    /// The last line.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Lines that were not logged.
    pub(super) fn unlogged(&self) -> u64 {
        self.count.saturating_sub(COMPLAINTS_MAX)
    }

    async fn drain(&mut self) {
        while let Ok(Some(line)) = self.lines.next().await {
            let line = String::from_utf8_lossy(line)
                .trim()
                .escape_debug()
                .to_string();
            self.count += 1;
            if self.count <= COMPLAINTS_MAX {
                tracing::warn!(line, "drbdsetup complains");
            }
            self.last = Some(line).filter(|line| !line.is_empty());
        }
    }
}
