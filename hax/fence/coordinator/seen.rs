//! Since when this daemon has seen the open attempts as they are, by its own clock: all that the protocol
//! measures (`rfc/13-fencing-protocol.md`, "The lost delegate").

use std::collections::BTreeMap;
use std::time::Duration;

use super::delay;
use crate::config::fence::FenceConfig;
use crate::fence::FenceView;
use crate::fence::executor::BootInstant;
use crate::fence::model::{AttemptState, OpId, Operation};
use crate::fence::protocol::{accept_max, certain_after, overdue_after};

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
        Passed {
            waited: running && after(certain_after(run_max, config.lock_delay)),
            accept_over: !running && now >= sighting.waiting.after(accept),
            overdue: running && after(overdue_after(run_max)),
        }
    }

    /// Whether any attempt is open.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::{Stored, sample};
    use serde_json::json;

    /// Lock delay 5 s; one device with one slot, expiring after 10 min.
    fn config() -> FenceConfig {
        sample::config("[[fence.device]]\nname = \"pdu\"\ntype = \"dummy\"\nhosts = [\"t\"]")
    }

    /// An operation with an attempt whose step runs for 20 s at most, after a delay of up to 3 s.
    fn op(state: serde_json::Value) -> Operation {
        serde_json::from_value(json!({
            "id": "0190a8e6-0000-7000-8000-000000000000",
            "target": "t",
            "action": "off",
            "origin": { "node": "n1", "source": "operator", "who": "", "reason": "", "at": 0 },
            "options": { "expire_ms": 1, "delay_ms": 1000 },
            "driver": "n1",
            "phase": { "phase": "active" },
            "plan": { "epoch": 0, "levels": [{ "level": 0, "steps": [{
                "device": "pdu", "action": "off", "group": 0, "required": true, "tries": 1,
                "delay_ms": 500, "delay_max_ms": 1500, "run_max_ms": 20_000, "on_target": false,
            }]}]},
            "attempts": [
                { "level": 0, "steps": [0], "peer": "n1", "verified": true, "state": state },
            ],
        }))
        .unwrap()
    }

    fn view(op: &Operation, slots: usize) -> FenceView {
        let mut view = FenceView::default();
        let stored = Stored {
            value: op.clone(),
            index: Default::default(),
        };
        view.ops.insert(op.id.clone(), stored);
        view.slots.insert("pdu".parse().unwrap(), slots);
        view
    }

    fn at(seconds: u64) -> BootInstant {
        BootInstant(Duration::from_secs(1000 + seconds))
    }

    fn running(session: &str) -> Operation {
        op(json!({ "state": "running", "session": session, "since": 0 }))
    }

    #[test]
    fn a_run_is_certainly_over_after_its_bound_the_start_window_and_the_lock_delay() {
        let config = config();
        let mut seen = Seen::default();
        let op = running("s");
        seen.look(&config, &view(&op, 0), at(0));
        // Seeing it again changes nothing.
        seen.look(&config, &view(&op, 0), at(20));
        assert!(!seen.passed(&config, &op, at(26)).waited);
        assert!(seen.passed(&config, &op, at(27)).waited);
        assert!(!seen.passed(&config, &op, at(24)).overdue);
        assert!(seen.passed(&config, &op, at(25)).overdue);
    }

    #[test]
    fn what_has_changed_is_counted_anew() {
        let config = config();
        let mut seen = Seen::default();
        seen.look(&config, &view(&running("s"), 0), at(0));
        let other = running("other");
        seen.look(&config, &view(&other, 0), at(20));
        assert!(!seen.passed(&config, &other, at(46)).waited);
        assert!(seen.passed(&config, &other, at(47)).waited);
        // One that was away for a moment has not been watched without a break.
        seen.look(&config, &FenceView::default(), at(48));
        seen.look(&config, &view(&other, 0), at(50));
        assert!(!seen.passed(&config, &other, at(76)).waited);
    }

    #[test]
    fn a_delegate_may_wait_for_its_delay_and_for_a_slot() {
        let config = config();
        let op = op(json!({ "state": "delegated" }));
        let mut seen = Seen::default();
        seen.look(&config, &view(&op, 0), at(0));
        // 10 s, the lock delay, and the delays of operation and step.
        assert!(!seen.passed(&config, &op, at(17)).accept_over);
        assert!(seen.passed(&config, &op, at(18)).accept_over);
        // The only slot is taken until second 100.
        seen.look(&config, &view(&op, 1), at(100));
        assert!(!seen.passed(&config, &op, at(117)).accept_over);
        assert!(seen.passed(&config, &op, at(118)).accept_over);
        // That does not count for ever.
        seen.look(&config, &view(&op, 1), at(10_000));
        assert!(seen.passed(&config, &op, at(10_000)).accept_over);
    }

    #[test]
    fn only_the_first_try_of_a_step_is_delayed() {
        let mut op = op(json!({ "state": "ended", "runs": [] }));
        let longest = |op: &Operation, attempt| delay::bounds(op, attempt).0.as_millis();
        assert_eq!(longest(&op, 0), 3000);
        for _ in 0..100 {
            let delay = delay::pick(&op, 0).as_millis();
            assert!((1500..=3000).contains(&delay), "{delay}");
        }
        op.attempts.push(op.attempts[0].clone());
        assert_eq!(longest(&op, 1), 0);
        assert_eq!(longest(&op, 2), 0);
    }
}
