//! Asking Consul again until it answers (`rfc/7-ordering.md`, "Retries").

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use consul_client::Error;
use tracing::warn;

use super::counters::Counter;

/// How Consul is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// First pause.
    pub min: Duration,
    /// Longest pause.
    pub max: Duration,
    /// How long one attempt may take, all its requests together.
    pub attempt: Duration,
}

impl RetryPolicy {
    /// Runs `call` until it succeeds or fails for good. `what` is for the log; `retries` counts the
    /// attempts that failed.
    ///
    /// # Errors
    /// One that does not pass by itself.
    pub async fn run<T, F: Future<Output = Result<T, Error>>>(
        &self,
        what: &str,
        retries: &Counter,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let mut pauses = None;
        let mut attempts = 1_u64;
        loop {
            let attempt = tokio::time::timeout(self.attempt, call());
            let error = match attempt.await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) if !error.is_retryable() => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => Error::Timeout {
                    path: what.to_owned(),
                    limit: self.attempt,
                },
            };
            let pauses = pauses.get_or_insert_with(|| self.pauses());
            let pause = pauses.next().unwrap_or(self.max);
            warn!(what, %error, attempts, ?pause, "Consul failed; trying again");
            retries.increment();
            attempts += 1;
            tokio::time::sleep(pause).await;
        }
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::default()
            .with_min_delay(self.min)
            .with_max_delay(self.max)
            .without_max_times()
            .with_jitter()
            .build()
    }
}
