//! Keeping one part of the view current (`rfc/9-view.md`).

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use consul_client::{Client, Error, Index};
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::debug;

use super::part::{Detail, Found, Mark, Part};
use super::view::Shared;

/// Asks for the part to be no older than the demand.
pub(super) type Demand = oneshot::Sender<Result<(), Error>>;

/// Demands that wait at most; who makes one more waits to make it.
pub(super) const DEMANDS_MAX: usize = 64;

/// The longest time between two looks. A signal may fail to come: an agent that is no server repeats
/// a blocking query by itself at a server with another history, which then waits for an index that
/// is far away.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Pauses after failures.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The task of one part. It alone publishes the part, and each time what it has read after it had
/// published the last: so nothing older ever comes after something newer.
pub(super) struct Follower {
    part: Part,
    detail: Detail,
    consul: Client,
    shared: std::sync::Arc<Shared>,
    demands: mpsc::Receiver<Demand>,
    doubts: watch::Receiver<u64>,
    /// Where the published content stands.
    mark: Option<Mark>,
    /// Nothing has happened since that could make the same index mean something else.
    trusted: bool,
    /// When to look without being asked.
    due: Instant,
    /// No signal is followed earlier: reading takes no more than half of the time.
    rested: Instant,
    pauses: ExponentialBackoff,
}

impl Follower {
    pub(super) fn new(
        part: Part,
        detail: Detail,
        consul: Client,
        shared: std::sync::Arc<Shared>,
        demands: mpsc::Receiver<Demand>,
    ) -> Self {
        let now = Instant::now();
        Self {
            part,
            detail,
            consul,
            doubts: shared.doubts(),
            shared,
            demands,
            mark: None,
            trusted: false,
            due: now,
            rested: now,
            pauses: pauses(),
        }
    }

    /// Runs until the view is dropped, or this is.
    pub(super) async fn run(mut self) {
        let mut signals = self.part.signals(&self.consul);
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                count = self.demands.recv_many(&mut waiting, DEMANDS_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                Some(signal) = signals.next() => {
                    self.heard(signal);
                    continue;
                }
                Ok(()) = self.doubts.changed() => self.doubts.mark_changed(),
                () = tokio::time::sleep_until(self.due) => {}
            }
            // Those who ask while this look is under way are served by the next: Consul may have
            // answered before they asked.
            let outcome = self.look().await;
            if outcome.is_err() {
                // But a failure is as good for them.
                while let Ok(demand) = self.demands.try_recv() {
                    waiting.push(demand);
                }
            }
            for demand in waiting {
                // Who has given up does not need it.
                let _ = demand.send(outcome.clone());
            }
        }
    }

    fn heard(&mut self, signal: Result<Index, Error>) {
        match signal {
            Ok(index) => {
                let known = self.mark.is_some_and(|mark| mark.index == index);
                if !(known && self.trusted) {
                    self.due = self.due.min(self.rested);
                }
            }
            Err(error) => {
                // Whatever comes back may be another Consul, and this part the first to notice.
                self.shared.doubt();
                self.shared.failed(self.part, &error);
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        if self.doubts.has_changed().unwrap_or(false) {
            self.doubts.mark_unchanged();
            self.trusted = false;
        }
        let begin = Instant::now();
        let found = match self
            .part
            .look(&self.consul, self.detail, self.mark, self.trusted)
            .await
        {
            Ok(found) => found,
            Err(error) => {
                self.shared.failed(self.part, &error);
                self.due = Instant::now() + self.pauses.next().unwrap_or(RETRY_MAX);
                return Err(error);
            }
        };
        let now = Instant::now();
        let mark = match found {
            Found::Same(mark) => {
                self.shared.confirmed(self.part, mark);
                mark
            }
            Found::New { mark, piece, reset } => {
                let (part, index) = (self.part, mark.index);
                debug!(%part, %index, reset, took = ?now - begin, "read");
                self.shared.publish(self.part, mark, piece, reset);
                self.rested = now + (now - begin);
                mark
            }
        };
        self.mark = Some(mark);
        self.trusted = true;
        self.due = now + LOOK_EVERY;
        self.pauses = pauses();
        Ok(())
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(RETRY_MIN)
        .with_max_delay(RETRY_MAX)
        .without_max_times()
        .with_jitter()
        .build()
}
