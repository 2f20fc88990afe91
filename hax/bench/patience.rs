//! Waits that are given up for lack of progress, however long they take in all: a loaded machine is
//! slow, not stuck.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// How long nothing may move: far longer than a loaded machine stands still.
pub(super) const STALL: Duration = Duration::from_secs(120);

/// A wait that looks again and again how far something is.
#[derive(Debug)]
pub(super) struct Wait<'a, P> {
    what: &'a str,
    begun: Instant,
    /// The last look that differed from the one before, and when it was taken.
    moved: Option<(P, Instant)>,
}

impl<'a, P: PartialEq> Wait<'a, P> {
    pub(super) fn new(what: &'a str) -> Self {
        Self {
            what,
            begun: Instant::now(),
            moved: None,
        }
    }

    /// Takes note of how far it is.
    ///
    /// # Errors
    /// Once that has been the same for [`STALL`]. `detail` is shown with it.
    pub(super) fn look<D: Display>(
        &mut self,
        progress: P,
        detail: impl FnOnce() -> D,
    ) -> Result<()> {
        let now = Instant::now();
        match &self.moved {
            Some((last, since)) if *last == progress => {
                if now - *since > STALL {
                    bail!(
                        "waited {:.0?} for {}, the last {STALL:?} without progress: {}",
                        now - self.begun,
                        self.what,
                        detail()
                    );
                }
            }
            _ => self.moved = Some((progress, now)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_lasts_as_long_as_something_moves_and_ends_when_nothing_does() {
        let mut wait = Wait::new("the last event");
        for done in 0..10 {
            tokio::time::advance(STALL).await;
            wait.look(done, || "log").unwrap();
        }
        tokio::time::advance(STALL).await;
        wait.look(9, || "log").unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let error = wait.look(9, || "log").unwrap_err().to_string();
        assert_eq!(
            error,
            "waited 1321s for the last event, the last 120s without progress: log"
        );
    }
}
