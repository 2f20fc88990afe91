//! Devices that are programs: agents and commands. What they are asked for, and one call of one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::fence::Timeouts;
use crate::fence::model::{Action, Ended, NodeName, RunResult};

use super::api::BootInstant;
use super::evidence::{Said, ended, evidence, said};
use super::guard::Report;
use super::guarded::{Guard, Work};
use super::secrets::Secrets;

/// Bytes of a list of targets.
const LIST_MAX: usize = 256 << 10;

/// What a program can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Fence(Action),
    Status,
    Monitor,
    List,
}

impl Verb {
    /// Its name, as fence agents take it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Fence(action) => action.as_str(),
            Self::Status => "status",
            Self::Monitor => "monitor",
            Self::List => "list",
        }
    }

    /// How long it may take.
    pub(super) fn timeout(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Fence(action) => timeouts.of(action),
            Self::Status => timeouts.status,
            Self::Monitor => timeouts.monitor,
            Self::List => timeouts.list,
        }
    }
}

/// Whom it is about, and what the device calls him.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aim<'a> {
    pub(super) node: &'a NodeName,
    pub(super) port: &'a str,
}

/// A program with everything it is given.
pub(super) struct Call {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) input: String,
    pub(super) secrets: Secrets,
}

/// When a call may start, and when it must be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) start_by: BootInstant,
    pub(super) deadline: BootInstant,
    pub(super) grace: Duration,
}

impl Bounds {
    /// From now on for so long.
    pub(super) fn within(timeout: Duration, grace: Duration) -> Self {
        let deadline = BootInstant::now().after(timeout);
        Self {
            start_by: deadline,
            deadline,
            grace,
        }
    }

    /// For what follows a call that has begun in time: what counts then is the deadline of the whole.
    pub(super) fn begun(self) -> Self {
        Self {
            start_by: self.deadline,
            ..self
        }
    }

    /// What is left until the deadline.
    pub(super) fn left(&self) -> Duration {
        self.deadline.0.saturating_sub(BootInstant::now().0)
    }
}

/// What came of a call.
pub(super) struct Called {
    pub(super) said: Said,
    pub(super) evidence: String,
    /// Its stdout, if that was wanted and not too long.
    pub(super) stdout: Option<String>,
    since: Instant,
}

impl Called {
    fn of(report: &Report, secrets: &Secrets, since: Instant) -> Self {
        Self {
            said: said(report),
            evidence: evidence(report, secrets),
            stdout: report.head.clone(),
            since,
        }
    }

    /// The call that could not be made.
    pub(super) fn impossible(why: String) -> Self {
        Self {
            said: Said::Not(RunResult::Internal),
            evidence: why,
            stdout: None,
            since: Instant::now(),
        }
    }

    /// With a result for the exit code.
    pub(super) fn ended(&self, of: impl FnOnce(i32) -> RunResult) -> Ended {
        let result = match self.said {
            Said::Exit(code) => of(code),
            Said::Not(result) => result,
        };
        ended(result, self.evidence.as_str(), self.since)
    }

    /// With a result that was found out later, and how.
    pub(super) fn ended_after(&self, result: RunResult, how: &str) -> Ended {
        let words = format!("{}; {how}", self.evidence);
        ended(result, words, self.since)
    }
}

impl Call {
    /// Runs it.
    pub(super) async fn run(
        self,
        guard: &Guard,
        verb: Verb,
        bounds: Bounds,
        cancel: &CancellationToken,
    ) -> Called {
        let since = Instant::now();
        let head = if verb == Verb::List { LIST_MAX } else { 0 };
        let work = Work {
            program: self.program,
            args: self.args,
            input: self.input,
            start_by: bounds.start_by,
            deadline: bounds.deadline,
            grace: bounds.grace,
            head,
        };
        let report = guard.run(work, cancel).await;
        Called::of(&report, &self.secrets, since)
    }
}
