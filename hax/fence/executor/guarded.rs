//! The daemon's side of a guard.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::api::BootInstant;
use super::guard::{AGENT_PATH, Ending, JOB_MAX, Job, Message, Report, UNKILLABLE};

/// How much longer than it may the guard is waited for.
const SLACK: Duration = Duration::from_secs(2);

/// Bytes of the tails and of everything else in a report; a byte becomes six at most (`\u0000`).
const REST_MAX: usize = 6 * 2 * 4096 + 4096;

/// The program of this very process, even when its file has been replaced meanwhile.
const SELF: &str = "/proc/self/exe";

/// How guards are started.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    program: PathBuf,
}

/// What a guard is to run.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) input: String,
    pub(super) start_by: BootInstant,
    pub(super) deadline: BootInstant,
    pub(super) grace: Duration,
    /// Bytes of stdout that are wanted from its beginning.
    pub(super) head: usize,
}

impl Default for Guard {
    fn default() -> Self {
        Self::at(PathBuf::from(SELF))
    }
}

impl Guard {
    /// Guards are this `hax`.
    pub(super) fn at(program: PathBuf) -> Self {
        Self { program }
    }

    /// Runs it to its end. When `cancel` comes, or the future is dropped, the agent is killed.
    pub(super) async fn run(&self, work: Work, cancel: &CancellationToken) -> Report {
        let broken = |why: String| Report::without_agent(Ending::Broken(why));
        if cancel.is_cancelled() {
            return Report::without_agent(Ending::Cancelled);
        }
        let job = Job {
            program: work.program,
            args: work.args,
            input: work.input,
            start_by: work.start_by.millis(),
            deadline: work.deadline.millis(),
            grace: u64::try_from(work.grace.as_millis()).unwrap_or(u64::MAX),
            head: work.head,
        };
        let mut line = match serde_json::to_vec(&job) {
            Ok(line) => line,
            Err(error) => return broken(error.to_string()),
        };
        line.push(b'\n');
        if line.len() > JOB_MAX {
            return broken(format!("the agent's input is longer than {JOB_MAX} bytes"));
        }
        let child = match self.spawn() {
            Ok(child) => child,
            Err(error) => return broken(format!("the guard could not be started: {error}")),
        };
        let left = work.deadline.0.saturating_sub(BootInstant::now().0);
        let longest = left + work.grace + UNKILLABLE * 2 + SLACK;
        Talk::new(child, work.head)
            .finish(&line, longest, cancel)
            .await
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = std::process::Command::new(&self.program);
        command
            .arg0(OsString::from("hax-fence-guard"))
            .args(["fence-guard", "run"])
            .env_clear()
            .env("PATH", AGENT_PATH)
            .env("LANG", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Signals of a terminal are not for it.
            .process_group(0);
        Command::from(command).spawn()
    }
}

/// A guard, and what it has said.
struct Talk {
    child: Child,
    stdout: Option<ChildStdout>,
    heard: Vec<u8>,
    heard_max: usize,
}

impl Talk {
    fn new(mut child: Child, head: usize) -> Self {
        Self {
            stdout: child.stdout.take(),
            child,
            heard: Vec::new(),
            heard_max: head.saturating_mul(6).saturating_add(REST_MAX),
        }
    }

    async fn finish(mut self, job: &[u8], longest: Duration, cancel: &CancellationToken) -> Report {
        // While it is open, the daemon is there.
        let mut stdin = self.child.stdin.take();
        let told = async {
            if let Some(stdin) = &mut stdin
                && stdin.write_all(job).await.is_ok()
            {
                let _ = stdin.flush().await;
            }
            self.listen().await;
        };
        let cancelled = tokio::select! {
            () = told => false,
            () = cancel.cancelled() => true,
            () = tokio::time::sleep(longest) => false,
        };
        drop(stdin);
        // Now it has gone, or it ends the agent at once.
        let ended = async {
            self.listen().await;
            self.child.wait().await
        };
        let in_time = timeout(UNKILLABLE * 2 + SLACK, ended).await.is_ok();
        if !in_time {
            let _ = self.child.kill().await;
        }
        self.report(cancelled)
    }

    /// Reads until the guard has closed its stdout. Nothing is lost when it is dropped.
    async fn listen(&mut self) {
        let Some(stdout) = &mut self.stdout else {
            return;
        };
        while self.heard.len() < self.heard_max {
            match stdout.read_buf(&mut self.heard).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn report(self, cancelled: bool) -> Report {
        let lines = self.heard.split(|byte| *byte == b'\n');
        let mut agent = None;
        for message in lines.filter_map(|line| serde_json::from_slice(line).ok()) {
            match message {
                Message::Over(report) => return report,
                Message::Agent(pid) => agent = Pid::from_raw(pid),
            }
        }
        // Somebody has killed the guard. The kernel has killed the agent; its children are left. The
        // group's number is free only if nobody is in it, and is not given away that quickly.
        if let Some(group) = agent {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let ending = match (agent, cancelled) {
            (_, true) => Ending::Cancelled,
            (Some(_), _) => Ending::GuardLost,
            (None, _) => Ending::Broken("the guard has ended without a word".to_owned()),
        };
        Report::without_agent(ending)
    }
}
