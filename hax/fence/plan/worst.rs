//! How long a plan can take.

use std::time::Duration;

use crate::fence::model::{Level, Plan, Step};
use crate::fence::protocol::{NOT_BEGUN_FREE, accept_max, certain_after, overdue_after};

/// The longest that a plan can take, in milliseconds, from its activation to the end of its operation, if
/// no driver is lost on the way, nobody else holds the slots of its devices, and Consul answers at once.
///
/// A step takes at most
///
/// ```text
///   delay + random delay                          before its first try
/// + (tries + 2) × (10 s + lock delay)             until a delegate has started it, or is given up: two
///                                                 that do not start it are no tries
/// + tries × (run_max + max(2 s + lock delay, 5 s)) until its end is certain, were it lost
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
    let tries = u32::from(step.tries.max(1));
    let not_begun = u32::try_from(NOT_BEGUN_FREE).unwrap_or(u32::MAX);
    let run_max = Duration::from_millis(step.run_max_ms);
    let run = certain_after(run_max, lock_delay).max(overdue_after(run_max));
    let accept = accept_max(lock_delay).saturating_mul(tries.saturating_add(not_begun));
    let delays = step.delay_ms.saturating_add(step.delay_max_ms);
    let all = Duration::from_millis(delays)
        .saturating_add(accept)
        .saturating_add(run.saturating_mul(tries));
    u64::try_from(all.as_millis()).unwrap_or(u64::MAX)
}
