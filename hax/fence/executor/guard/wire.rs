//! What daemon and guard tell each other: one JSON value a line.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes of a [`Job`] at most, as it is written.
pub(in super::super) const JOB_MAX: usize = 1 << 20;

/// The search path of agents: where Debian and its relatives have them.
pub(crate) const AGENT_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/// How long the guard waits for the end of what it has killed. Only a process that the kernel
/// does not let go takes longer.
pub(in super::super) const UNKILLABLE: Duration = Duration::from_secs(3);

/// What the guard is to run. Instants are milliseconds of CLOCK_BOOTTIME.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Job {
    /// The program, and its arguments.
    pub(in super::super) program: PathBuf,
    pub(in super::super) args: Vec<String>,
    /// For its stdin.
    pub(in super::super) input: String,
    /// Not executed later than that.
    pub(in super::super) start_by: u64,
    /// TERM at this instant, KILL `grace` milliseconds later.
    pub(in super::super) deadline: u64,
    pub(in super::super) grace: u64,
    /// Bytes of stdout that are wanted from its beginning.
    pub(in super::super) head: usize,
}

/// What the guard says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) enum Message {
    /// Pid, and process group, of what becomes the agent.
    Agent(i32),
    /// It is over. The last line.
    Over(Report),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) enum Ending {
    /// The agent ended by itself, with this exit code.
    Exited(i32),
    /// A signal ended it, and it was not the guard's.
    Signalled(i32),
    /// Its time was over; whether KILL was needed.
    TimedOut { killed: bool },
    /// The daemon has closed the pipe.
    Cancelled,
    /// It was not executed: the instant had passed.
    TooLate,
    /// It could not be executed.
    NotExecuted(String),
    /// It does not end: KILL was sent, and the kernel does not let it go.
    Unkillable,
    /// The guard was killed, and the agent with it. No guard says this.
    GuardLost,
    /// The guard could not do its work; nothing runs.
    Broken(String),
}

/// What is left of a stream: its last bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in super::super) struct Tail {
    /// The last bytes, as text.
    pub(in super::super) text: String,
    /// Bytes before them.
    pub(in super::super) cut: u64,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Report {
    pub(in super::super) ending: Ending,
    /// The first bytes of stdout, as many as the job wants; without a value, there were more.
    pub(in super::super) head: Option<String>,
    pub(in super::super) stdout: Tail,
    pub(in super::super) stderr: Tail,
    /// Processes that the agent had left behind, and that were killed.
    pub(in super::super) remains: u32,
}

impl Report {
    /// Of a run in which nothing was executed.
    pub(in super::super) fn without_agent(ending: Ending) -> Self {
        Self {
            ending,
            head: Some(String::new()),
            stdout: Tail::default(),
            stderr: Tail::default(),
            remains: 0,
        }
    }
}
