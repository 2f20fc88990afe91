//! How long a plan can take.

use std::time::Duration;

use crate::fence::model::{Level, Plan, Step};

/// How long a delegate has to start an attempt, beside the lock delay and the delay of the step.
const ACCEPT_MS: u64 = 10_000;

/// How much longer than its bound a run may seem to take until its daemon is taken for stuck.
const OVERDUE_MS: u64 = 5_000;

/// Runs of a step that were not begun and are no tries yet.
const NOT_BEGUN_FREE: u64 = 2;

/// The longest that a plan can take, in milliseconds, from its activation to the end of its operation, if
/// no driver is lost on the way, nobody else holds the slots of its devices, and Consul answers at once.
///
/// A step takes at most
///
/// ```text
///   delay + random delay                               before its first try
/// + (tries + 2) × (10 s + lock delay)                  until a delegate has started it, or is given up:
///                                                      two that do not start it are no tries
/// + tries × (run_max + the larger of lock delay, 5 s)  until its end is certain, were it lost
/// ```
///
/// and a level what its steps take together. Parallel steps count like others: they are one attempt
/// only while one peer reaches all of their devices. A level can fail as late as in its last required step,
/// and only the last level that is begun comes to steps that are not required.
pub fn worst_ms(plan: &Plan, lock_delay: Duration) -> u64 {
    let mut before: u64 = 0;
    let mut worst: u64 = 0;
    for level in &plan.levels {
        let all = level_ms(level, lock_delay, |_| true);
        worst = worst.max(before.saturating_add(all));
        let failed = level_ms(level, lock_delay, |step| step.required);
        before = before.saturating_add(failed);
    }
    worst.max(before)
}

fn level_ms(level: &Level, lock_delay: Duration, counts: impl Fn(&Step) -> bool) -> u64 {
    let steps = level.steps.iter().filter(|step| counts(step));
    steps
        .map(|step| step_ms(step, lock_delay))
        .fold(0, u64::saturating_add)
}

/// The longest that a step can take, all its tries together.
pub(super) fn step_ms(step: &Step, lock_delay: Duration) -> u64 {
    let lock_delay = u64::try_from(lock_delay.as_millis()).unwrap_or(u64::MAX);
    let tries = u64::from(step.tries.max(1));
    let accept = ACCEPT_MS.saturating_add(lock_delay);
    let run = step.run_max_ms.saturating_add(lock_delay.max(OVERDUE_MS));
    step.delay_ms
        .saturating_add(step.delay_max_ms)
        .saturating_add(tries.saturating_add(NOT_BEGUN_FREE).saturating_mul(accept))
        .saturating_add(tries.saturating_mul(run))
}
