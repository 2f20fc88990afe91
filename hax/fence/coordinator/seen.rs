//! Since when this daemon has seen the open attempts as they are, by its own clock: all that the protocol
//! measures (`rfc/12-fencing.md`, "The lost delegate").

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempt::START_WINDOW;
use super::delay;
use crate::config::fence::FenceConfig;
use crate::fence::FenceView;
use crate::fence::executor::BootInstant;
use crate::fence::model::{AttemptState, OpId, Operation};
use crate::fence::protocol::accept_max;

/// How much longer than its bound a run may seem to take, until its daemon is taken for stuck.
const OVERDUE: Duration = Duration::from_secs(5);

/// What is known of one open attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sighting {
    attempt: usize,
    /// The session that runs it; none: delegated.
    session: Option<String>,
    since: BootInstant,
    /// When it last had to wait for a slot.
    waiting: BootInstant,
}

/// The open attempts.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<OpId, Sighting>);

/// What has passed for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Passed {
    /// It is certain that the run is over, whatever became of its delegate.
    pub(super) waited: bool,
    /// It should have been started.
    pub(super) accept_over: bool,
    /// It should have ended.
    pub(super) overdue: bool,
}

impl Seen {
    /// Looks at a view. An attempt that has changed is counted anew.
    pub(super) fn look(&mut self, config: &FenceConfig, view: &FenceView, now: BootInstant) {
        let mut old = std::mem::take(&mut self.0);
        for (id, op) in &view.ops {
            let op = &op.value;
            let Some((attempt, open)) = op.open_attempt().filter(|_| op.ended().is_none()) else {
                continue;
            };
            let session = match &open.state {
                AttemptState::Running { session, .. } => Some(session.clone()),
                _ => None,
            };
            let known = old.remove(id);
            let same = |known: &Sighting| known.attempt == attempt && known.session == session;
            let mut sighting = known.filter(same).unwrap_or(Sighting {
                attempt,
                session,
                since: now,
                waiting: now,
            });
            let full = op.steps_of(open).any(|step| {
                let device = config.device(&step.device);
                let count = device.map_or(1, |device| usize::from(device.concurrency.max(1)));
                view.slots
                    .get(&step.device)
                    .is_some_and(|used| *used >= count)
            });
            if full && now <= sighting.since.after(config.expire) {
                sighting.waiting = now;
            }
            self.0.insert(id.clone(), sighting);
        }
    }

    /// What has passed for the open attempt of an operation.
    pub(super) fn passed(&self, config: &FenceConfig, op: &Operation, now: BootInstant) -> Passed {
        let (Some(sighting), Some((attempt, open))) = (self.0.get(&op.id), op.open_attempt())
        else {
            return Passed::default();
        };
        let run_max = Duration::from_millis(op.run_max_ms(open));
        let (delay, _) = delay::bounds(op, attempt);
        let running = sighting.session.is_some();
        let after = |wait: Duration| now >= sighting.since.after(wait);
        let accept = accept_max(config.lock_delay).saturating_add(delay);
        // An agent may be spawned until the end of the start window.
        let wait = START_WINDOW.saturating_add(config.lock_delay);
        Passed {
            waited: running && after(run_max.saturating_add(wait)),
            accept_over: !running && now >= sighting.waiting.after(accept),
            overdue: running && after(run_max.saturating_add(OVERDUE)),
        }
    }

    /// Whether any attempt is open.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
