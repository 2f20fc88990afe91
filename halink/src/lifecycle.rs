//! Life of an interface: which call the library allows when.

use std::fmt;

use thiserror::Error;
use tokio::sync::watch;

use crate::error::Errno;

/// Where the interface stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Nothing was called.
    Uninitialized,
    /// `init` has succeeded.
    Initialized,
    /// `start` runs: it waits for the answer to our own entrypoint request.
    Starting,
    /// `start` has failed.
    StartFailed,
    /// `start` has succeeded.
    Started,
    /// `stop` runs.
    Stopping,
    /// `stop` has returned: no callback comes any more.
    Stopped,
    /// `fini` was called; the end.
    Finalized,
}

/// What moves an interface on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Initialize,
    Start,
    StartSucceed,
    StartFail,
    Stop,
    StopComplete,
    Finalize,
}

/// A step that the state of the interface does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the HA interface cannot {step} while it is {state}")]
pub struct IllegalStep {
    state: Lifecycle,
    step: Step,
}

impl Lifecycle {
    /// The state after `step`. An interface whose start failed may be started again or finalised;
    /// one that was stopped can only be finalised.
    pub(crate) fn next(self, step: Step) -> Result<Lifecycle, IllegalStep> {
        match (self, step) {
            (Lifecycle::Uninitialized, Step::Initialize) => Ok(Lifecycle::Initialized),
            (Lifecycle::Initialized | Lifecycle::StartFailed, Step::Start) => {
                Ok(Lifecycle::Starting)
            }
            (Lifecycle::Starting, Step::StartSucceed) => Ok(Lifecycle::Started),
            (Lifecycle::Starting, Step::StartFail) => Ok(Lifecycle::StartFailed),
            (Lifecycle::Started, Step::Stop) => Ok(Lifecycle::Stopping),
            (Lifecycle::Stopping, Step::StopComplete) => Ok(Lifecycle::Stopped),
            (
                Lifecycle::Initialized | Lifecycle::StartFailed | Lifecycle::Stopped,
                Step::Finalize,
            ) => Ok(Lifecycle::Finalized),
            (state, step) => Err(IllegalStep { state, step }),
        }
    }

    /// Whether nothing that happens from here on leads to [`Lifecycle::Started`].
    pub(crate) fn is_over(self) -> bool {
        matches!(
            self,
            Lifecycle::StartFailed
                | Lifecycle::Stopping
                | Lifecycle::Stopped
                | Lifecycle::Finalized
        )
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lifecycle::Uninitialized => "uninitialised",
            Lifecycle::Initialized => "initialised",
            Lifecycle::Starting => "starting",
            Lifecycle::StartFailed => "not started",
            Lifecycle::Started => "started",
            Lifecycle::Stopping => "stopping",
            Lifecycle::Stopped => "stopped",
            Lifecycle::Finalized => "finalised",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Initialize => "be initialised",
            Step::Start => "start",
            Step::StartSucceed | Step::StartFail => "end its start",
            Step::Stop => "stop",
            Step::StopComplete => "end its stop",
            Step::Finalize => "be finalised",
        })
    }
}

/// What others may know of the interface's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) start_error: Option<Errno>,
}

/// The state of one interface, kept by the thread that owns it and seen by all.
#[derive(Debug)]
pub(crate) struct Progress(watch::Sender<Status>);

impl Progress {
    pub(crate) fn new() -> (Progress, watch::Receiver<Status>) {
        let initial = Status {
            lifecycle: Lifecycle::Uninitialized,
            start_error: None,
        };
        let (sender, receiver) = watch::channel(initial);
        (Progress(sender), receiver)
    }

    pub(crate) fn lifecycle(&self) -> Lifecycle {
        self.0.borrow().lifecycle
    }

    /// Goes on to the state after `step`, or stays where it is.
    pub(crate) fn advance(&self, step: Step) -> Result<(), IllegalStep> {
        let next = self.lifecycle().next(step)?;
        self.0.send_modify(|status| status.lifecycle = next);
        Ok(())
    }

    /// The end of `start`, with its result.
    pub(crate) fn advance_start(&self, result: Result<(), Errno>) -> Result<(), IllegalStep> {
        let step = if result.is_ok() {
            Step::StartSucceed
        } else {
            Step::StartFail
        };
        let lifecycle = self.lifecycle().next(step)?;
        self.0.send_replace(Status {
            lifecycle,
            start_error: result.err(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [Lifecycle; 8] = [
        Lifecycle::Uninitialized,
        Lifecycle::Initialized,
        Lifecycle::Starting,
        Lifecycle::StartFailed,
        Lifecycle::Started,
        Lifecycle::Stopping,
        Lifecycle::Stopped,
        Lifecycle::Finalized,
    ];

    const STEPS: [Step; 7] = [
        Step::Initialize,
        Step::Start,
        Step::StartSucceed,
        Step::StartFail,
        Step::Stop,
        Step::StopComplete,
        Step::Finalize,
    ];

    #[test]
    fn the_table_allows_what_the_library_allows_and_nothing_else() {
        let allowed = [
            (
                Lifecycle::Uninitialized,
                Step::Initialize,
                Lifecycle::Initialized,
            ),
            (Lifecycle::Initialized, Step::Start, Lifecycle::Starting),
            (Lifecycle::Initialized, Step::Finalize, Lifecycle::Finalized),
            (Lifecycle::Starting, Step::StartSucceed, Lifecycle::Started),
            (Lifecycle::Starting, Step::StartFail, Lifecycle::StartFailed),
            (Lifecycle::StartFailed, Step::Start, Lifecycle::Starting),
            (Lifecycle::StartFailed, Step::Finalize, Lifecycle::Finalized),
            (Lifecycle::Started, Step::Stop, Lifecycle::Stopping),
            (Lifecycle::Stopping, Step::StopComplete, Lifecycle::Stopped),
            (Lifecycle::Stopped, Step::Finalize, Lifecycle::Finalized),
        ];
        for state in STATES {
            for step in STEPS {
                let expected = allowed
                    .iter()
                    .find(|(from, by, _)| (*from, *by) == (state, step))
                    .map(|(_, _, to)| *to)
                    .ok_or(IllegalStep { state, step });
                assert_eq!(state.next(step), expected);
            }
        }
    }

    #[test]
    fn nothing_leads_from_an_end_to_started() {
        for state in STATES.into_iter().filter(|state| state.is_over()) {
            for step in STEPS.into_iter().filter(|step| *step != Step::Start) {
                if let Ok(next) = state.next(step) {
                    assert!(next.is_over(), "{state} {step}");
                }
            }
        }
    }

    #[test]
    fn an_illegal_step_changes_nothing_and_says_what_it_was() {
        let (progress, status) = Progress::new();
        progress.advance(Step::Initialize).unwrap();
        let error = progress.advance(Step::Stop).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the HA interface cannot stop while it is initialised"
        );
        assert_eq!(status.borrow().lifecycle, Lifecycle::Initialized);
        assert!(progress.advance_start(Ok(())).is_err());
    }

    #[test]
    fn the_error_of_a_start_is_seen() {
        let (progress, status) = Progress::new();
        progress.advance(Step::Initialize).unwrap();
        progress.advance(Step::Start).unwrap();
        progress.advance_start(Err(Errno::EINVAL)).unwrap();
        let seen = *status.borrow();
        assert_eq!(seen.lifecycle, Lifecycle::StartFailed);
        assert_eq!(seen.start_error, Some(Errno::EINVAL));
    }
}
