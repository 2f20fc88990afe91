//! What an instance has done, as `status` shows it.

use serde::Serialize;

use super::run::Ending;

/// Since the instance was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Counters {
    /// Runs that have ended, well or not; those that could not be started are among them.
    pub(super) runs: u64,
    /// Of these, those that failed: another exit code than 0, a signal, or not started.
    pub(super) failed: u64,
    /// Of these, those that were not started; they are among the failed ones, too.
    pub(super) not_started: u64,
    /// Of these, those that took too long; they are not among the failed ones.
    pub(super) timed_out: u64,
    /// Of these, those that were ended because the instance stops.
    pub(super) stopped: u64,
    /// Runs for which there was no room, or no time before the stop.
    pub(super) dropped: u64,
    /// Events that did not reach the instance.
    pub(super) missed: u64,
}

impl Counters {
    /// Counts a run that has ended.
    pub(super) fn ended(&mut self, ending: &Ending) {
        self.runs += 1;
        match ending {
            Ending::Exited(0) => {}
            Ending::Exited(_) | Ending::Signalled(_) | Ending::Lost(_) => self.failed += 1,
            Ending::NotStarted(_) => {
                self.failed += 1;
                self.not_started += 1;
            }
            Ending::TimedOut { .. } => self.timed_out += 1,
            Ending::Stopped { .. } => self.stopped += 1,
        }
    }
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    pub(super) counters: Counters,
    /// Runs at this moment.
    pub(super) running: usize,
    /// Runs that wait.
    pub(super) pending: usize,
}
