//! Delays before a step (`rfc/13-fencing-protocol.md`, "Order of attempts").

use std::time::Duration;

use crate::fence::model::Operation;

/// The longest delay before the start of an attempt, and the part of it that is fixed. A step is delayed
/// before its first try only: who has waited once does not win a race by waiting again.
pub(super) fn bounds(op: &Operation, attempt: usize) -> (Duration, Duration) {
    let Some(own) = op.attempts.get(attempt) else {
        return Default::default();
    };
    let earlier = op.attempts.get(..attempt).unwrap_or_default();
    let tried = |step: &usize| {
        let mut of_level = earlier.iter().filter(|earlier| earlier.level == own.level);
        of_level.any(|earlier| earlier.steps.contains(step))
    };
    let level = op.plan.as_ref().and_then(|plan| plan.levels.get(own.level));
    let fresh = own.steps.iter().filter(|step| !tried(step));
    let fresh: Vec<_> = fresh.filter_map(|step| level?.steps.get(*step)).collect();
    let first = if attempt == 0 { op.options.delay_ms } else { 0 };
    let fixed = fresh.iter().map(|step| step.delay_ms).max().unwrap_or(0);
    let random = fresh
        .iter()
        .map(|step| step.delay_max_ms)
        .max()
        .unwrap_or(0);
    let fixed = first.saturating_add(fixed);
    let longest = fixed.saturating_add(random);
    (Duration::from_millis(longest), Duration::from_millis(fixed))
}

/// The delay of this attempt.
pub(super) fn pick(op: &Operation, attempt: usize) -> Duration {
    let (longest, fixed) = bounds(op, attempt);
    let random = u64::try_from((longest - fixed).as_millis()).unwrap_or(u64::MAX);
    let (draw, _) = uuid::Uuid::new_v4().as_u64_pair();
    fixed + Duration::from_millis(draw.checked_rem(random.saturating_add(1)).unwrap_or(0))
}
