//! Whether something was done lately.

use std::time::Duration;

use crate::fence::model::UnixMillis;

/// Whether `at` lies less than `window` before `now`, or ahead of it: clocks differ, and are set back. A
/// time ahead is one of `now` as long as it is not further ahead than `window`, so that it ends to
/// count after two windows at the latest; one further ahead is wrong, and counts for nothing.
pub(super) fn within(at: UnixMillis, now: UnixMillis, window: Duration) -> bool {
    let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    at.0.abs_diff(now.0) < window
}
