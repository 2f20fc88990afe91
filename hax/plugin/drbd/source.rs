//! The source itself: follows the child, starts it again when it ends, and tells the hub.

use std::fmt;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::child::{self, Events2};
use super::lines::LineReader;
use super::parse::{Line, parse};
use super::state::State;
use crate::config::plugin::DrbdConfig;
use crate::plugin::event::now;
use crate::plugin::hub::{Hub, SourceId};

/// Lines that were not understood, logged for each start of the child.
const MALFORMED_LOGGED: u64 = 16;

/// How patient it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How long nothing may come of the first dump.
    pub(super) first_dump: Duration,
    /// The first wait before the child is started again.
    pub(super) backoff_min: Duration,
    /// The longest.
    pub(super) backoff_max: Duration,
    /// How long the child has to end after TERM.
    pub(super) grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            first_dump: Duration::from_secs(30),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            grace: Duration::from_secs(2),
        }
    }
}

/// Watches DRBD through `drbdsetup events2`.
#[derive(Debug)]
pub struct DrbdSource {
    config: DrbdConfig,
    hub: Hub,
    bounds: Bounds,
}

impl DrbdSource {
    /// A source that tells `hub`.
    pub fn new(config: DrbdConfig, hub: Hub) -> Self {
        Self {
            config,
            hub,
            bounds: Bounds::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Watches until `stop` is cancelled; the child has ended when this returns. That takes some milliseconds;
    /// four seconds if the child does not heed TERM and the kernel holds it, six if it was about to end by itself.
    pub async fn run(self, stop: CancellationToken) {
        let mut known = State::default();
        let mut backoff = self.bounds.backoff_min;
        loop {
            let mut reading = Reading::new(&self.hub);
            let ended = self.follow(&mut reading, &mut known, &stop).await;
            if reading.complete {
                known = reading.state;
                backoff = self.bounds.backoff_min;
            }
            self.hub.set_status(SourceId::Drbd, |status| {
                status.up = false;
                if let Some(why) = &ended {
                    status.error = Some((now(), why.clone()));
                }
            });
            let Some(why) = ended else { return };
            tracing::warn!(
                error = why,
                again_in_ms = backoff.as_millis(),
                "DRBD is not being watched"
            );
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(self.bounds.backoff_max);
            self.hub
                .set_status(SourceId::Drbd, |status| status.restarts += 1);
        }
    }

    /// One life of the child. Why it has ended; `None`: it was told to stop.
    async fn follow(
        &self,
        reading: &mut Reading<'_>,
        known: &mut State,
        stop: &CancellationToken,
    ) -> Option<String> {
        let program = self.config.drbdsetup.display();
        let Events2 {
            process,
            stdin,
            mut lines,
            mut complaints,
        } = match child::start(&self.config.drbdsetup) {
            Ok(events2) => events2,
            Err(error) => return Some(format!("`{program}` cannot be started: {error}")),
        };
        let complete = Notify::new();
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            end = self.read(&mut lines, reading, known, &complete) => Some(end),
            error = child::ask(stdin, self.config.statistics_interval, &complete) => {
                Some(End::Deaf(error))
            }
            () = complaints.follow() => None,
        };
        let leaving = matches!(end, Some(End::Closed));
        let grace = self.bounds.grace;
        let status = process.end(leaving, grace, &mut complaints).await;
        reading.count_unlogged(complaints.unlogged());
        let mut why = format!("`{program} events2` {}", end?);
        match status {
            Some(status) if leaving => why.push_str(&format!(" ({status})")),
            Some(_) => {}
            None => why.push_str(", and cannot be killed"),
        }
        if let Some(last) = complaints.last() {
            why.push_str(": ");
            why.push_str(last);
        }
        Some(why)
    }

    /// Takes lines over for as long as they come.
    async fn read<R: tokio::io::AsyncRead + Unpin>(
        &self,
        lines: &mut LineReader<R>,
        reading: &mut Reading<'_>,
        known: &mut State,
        complete: &Notify,
    ) -> End {
        loop {
            let next = if reading.complete {
                lines.next().await
            } else {
                match timeout(self.bounds.first_dump, lines.next()).await {
                    Ok(next) => next,
                    Err(_) => return End::Silent(self.bounds.first_dump),
                }
            };
            match next {
                Ok(Some(line)) => reading.line(line, known),
                Ok(None) => return End::Closed,
                Err(error) => return End::Unreadable(error),
            }
            if reading.complete {
                complete.notify_one();
            }
        }
    }
}

/// Why a life of the child is over; to follow its name.
#[derive(Debug)]
enum End {
    /// It has closed its output.
    Closed,
    /// Its output cannot be read.
    Unreadable(std::io::Error),
    /// Nothing comes of its first dump.
    Silent(Duration),
    /// It does not read what it is asked.
    Deaf(std::io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("has ended"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Silent(bound) => {
                write!(f, "has written nothing of its first dump for {bound:?}")
            }
            Self::Deaf(error) => write!(f, "cannot be asked for statistics: {error}"),
        }
    }
}

/// What one life of the child has said.
struct Reading<'a> {
    hub: &'a Hub,
    state: State,
    /// Whether the first dump is complete. Until then, the hub keeps what it has.
    complete: bool,
    lines: u64,
    malformed: u64,
}

impl<'a> Reading<'a> {
    fn new(hub: &'a Hub) -> Self {
        Self {
            hub,
            state: State::default(),
            complete: false,
            lines: 0,
            malformed: 0,
        }
    }

    /// Takes a line over. `known` is what was known when the last life of the child ended.
    fn line(&mut self, line: &[u8], known: &mut State) {
        self.lines += 1;
        let line = match parse(line) {
            Ok(Line::Complete) if self.complete => return,
            Ok(Line::Complete) => return self.dumped(known),
            Ok(line) => line,
            Err(error) => return self.malformed(&error),
        };
        match self.state.take(line) {
            Ok(changes) if self.complete => self.hub.apply(SourceId::Drbd, changes),
            Ok(_) => {}
            Err(error) => self.malformed(&error),
        }
    }

    fn dumped(&mut self, known: &mut State) {
        // An object whose line was not understood is missing from the dump, but it is there: nothing
        // is taken for gone because of such a dump.
        if self.malformed > 0 {
            self.state.keep(std::mem::take(known));
        }
        self.complete = true;
        self.hub.resync(SourceId::Drbd, self.state.objects());
        self.hub
            .set_status(SourceId::Drbd, |status| status.up = true);
        tracing::info!(lines = self.lines, "DRBD is being watched");
    }

    fn malformed(&mut self, error: &dyn std::error::Error) {
        self.malformed += 1;
        self.hub
            .set_status(SourceId::Drbd, |status| status.malformed += 1);
        if self.malformed <= MALFORMED_LOGGED {
            tracing::warn!(
                line = self.lines,
                error = %error,
                "a line of drbdsetup is not understood and left out"
            );
        }
    }

    /// Says what was left out of the log.
    fn count_unlogged(&self, complaints: u64) {
        let malformed = self.malformed.saturating_sub(MALFORMED_LOGGED);
        if malformed > 0 || complaints > 0 {
            tracing::warn!(
                malformed,
                complaints,
                "more lines of drbdsetup were not logged"
            );
        }
    }
}
