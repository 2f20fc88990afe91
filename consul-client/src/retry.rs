//! Repeating requests that may succeed later.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::error::Error;

/// Pauses between attempts: doubling, with jitter, up to a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Pause after the first failure, before jitter.
    pub min_delay: Duration,
    /// Longest pause, jitter included.
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    /// From 100 ms to 5 s.
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// Runs `request` until it succeeds, fails for good, or the next attempt would begin after
    /// `deadline`; then its last error is returned. Errors that are not
    /// [retryable](Error::is_retryable) are returned at once.
    ///
    /// Only for requests that may be applied twice; see [`Error::is_maybe_applied`].
    pub async fn run<T, F, Fut>(&self, deadline: Instant, mut request: F) -> Result<T, Error>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut delays = self.delays();
        loop {
            let error = match request().await {
                Err(error) if error.is_retryable() => error,
                result => return result,
            };
            let next = Instant::now() + delays.next();
            if next > deadline {
                return Err(error);
            }
            tracing::debug!(%error, "repeating a request");
            tokio::time::sleep_until(next).await;
        }
    }

    pub(crate) fn delays(&self) -> Delays {
        let builder = ExponentialBuilder::new()
            .with_min_delay(self.min_delay)
            .with_max_delay(self.max_delay)
            .without_max_times()
            .with_jitter();
        Delays {
            backoff: builder.build(),
            max: self.max_delay,
        }
    }
}

/// The pauses of one run.
pub(crate) struct Delays {
    backoff: ExponentialBackoff,
    max: Duration,
}

impl Delays {
    pub(crate) fn next(&mut self) -> Duration {
        // The jitter is added on top of the cap, hence the second one.
        self.backoff.next().unwrap_or(self.max).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_cap() {
        let policy = RetryPolicy {
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_millis(1000),
        };
        let mut delays = policy.delays();
        let first = delays.next();
        assert!((100..=200).contains(&first.as_millis()), "{first:?}");
        for _ in 0..100 {
            assert!(delays.next() <= policy.max_delay);
        }
        assert!(delays.next() >= Duration::from_millis(900));
    }
}
