//! A clock that is the same in all processes of the machine.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |n: i64| u64::try_from(n).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// Nanoseconds as milliseconds.
#[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
pub(super) fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// How many of something a second, if `count` take `nanos`.
#[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
pub(super) fn per_second(count: usize, nanos: u64) -> f64 {
    count as f64 * 1e9 / nanos.max(1) as f64
}
