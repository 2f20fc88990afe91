//! How long instances may take, and how long they are left alone after a failure.

use std::time::Duration;

/// How long instances may take, and how long they are left alone after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Until an instance is prepared, and then until it is ready.
    pub start_timeout: Duration,
    /// Until an instance has stopped; what its kind adds comes on top.
    pub stop_timeout: Duration,
    /// After the first failure.
    pub backoff_first: Duration,
    /// After many.
    pub backoff_max: Duration,
    /// An instance that has run for so long begins with `backoff_first` again.
    pub backoff_reset: Duration,
    /// How often an instance's runtime shows that it comes to its turn.
    pub beat: Duration,
    /// An instance whose runtime has not come to its turn for so long is shown as hanging.
    pub hanging: Duration,
}

impl Timing {
    /// The durations of the RFC, with those that are configured.
    pub fn new(start_timeout: Duration, stop_timeout: Duration) -> Self {
        Self {
            start_timeout,
            stop_timeout,
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            backoff_reset: Duration::from_secs(60),
            beat: Duration::from_secs(1),
            hanging: Duration::from_secs(10),
        }
    }
}

/// The pauses of one instance.
#[derive(Debug, Default)]
pub(super) struct Backoff(Option<Duration>);

impl Backoff {
    /// The pause after a failure of an instance that was ready for `ran`.
    pub(super) fn next(&mut self, timing: &Timing, ran: Duration) -> Duration {
        let next = match self.0 {
            Some(last) if ran < timing.backoff_reset => last.saturating_mul(2),
            _ => timing.backoff_first,
        };
        *self.0.insert(next.min(timing.backoff_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_to_its_maximum_and_begins_again_after_a_long_run() {
        let timing = Timing::new(Duration::ZERO, Duration::ZERO);
        let mut backoff = Backoff::default();
        let mut after = |ran| backoff.next(&timing, Duration::from_secs(ran)).as_secs();
        let pauses = [0, 59, 0, 0, 0, 0, 0, 0, 60, 0].map(&mut after);
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 1, 2]);
    }
}
