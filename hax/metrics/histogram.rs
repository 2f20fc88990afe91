//! Latencies, counted in buckets of a logarithmic scale.
//!
//! Recording is three relaxed additions and a maximum: no lock, no allocation, from any thread. The
//! common crates have either a lock around each value (`prometheus-client`) or one writer
//! (`hdrhistogram`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Each power of two is cut into so many buckets, which bounds the error of a quantile to an eighth.
const PARTS: u64 = 8;
const PARTS_LOG2: u32 = PARTS.ilog2();
/// From 2^40 µs, 12 days, on there is one bucket for all.
const TOP_LOG2: u32 = 40;
const BUCKETS: usize = ((TOP_LOG2 - PARTS_LOG2 + 1) as usize) * PARTS as usize + 1;

/// Powers of two of microseconds that Prometheus is told: 64 µs to 67 s.
const TOLD_LOG2: std::ops::RangeInclusive<u32> = 6..=26;

/// A histogram of durations, with a resolution of a microsecond. It only grows.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

/// What a histogram says, for people: milliseconds. All is 0 as long as nothing was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Durations recorded.
    pub count: u64,
    /// Median, at most an eighth too long.
    pub p50_ms: f64,
    /// 99th percentile, likewise.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_us: AtomicU64::new(0),
            max_us: AtomicU64::new(0),
        }
    }
}

/// The bucket of a value.
fn place(us: u64) -> usize {
    if us < PARTS {
        return us as usize;
    }
    let log2 = us.ilog2();
    if log2 >= TOP_LOG2 {
        return BUCKETS - 1;
    }
    let part = (us >> (log2 - PARTS_LOG2)) - PARTS;
    ((log2 - PARTS_LOG2 + 1) as usize) * PARTS as usize + part as usize
}

/// The first value beyond a bucket; the last one has none.
fn end(place: usize) -> Option<u64> {
    let place = place as u64;
    match place / PARTS {
        _ if place + 1 == BUCKETS as u64 => None,
        0 => Some(place + 1),
        row => Some((PARTS + place % PARTS + 1) << (row - 1)),
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(place(us)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    /// Counts the time since a moment.
    pub fn record_since(&self, since: std::time::Instant) {
        self.record(since.elapsed());
    }

    /// What it says now.
    pub fn summary(&self) -> Summary {
        let counts = self.counts();
        let count = counts.iter().sum();
        let max = self.max_us.load(Ordering::Relaxed);
        let ms = |us: u64| us as f64 / 1000.0;
        Summary {
            count,
            p50_ms: ms(quantile(&counts, count, 50, max)),
            p99_ms: ms(quantile(&counts, count, 99, max)),
            max_ms: ms(max),
        }
    }

    /// Seconds, and how many durations were shorter; then how many there are, and their sum in
    /// seconds.
    pub(super) fn cumulative(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let counts = self.counts();
        let below = |log2: u32| counts[..place(1 << log2)].iter().sum();
        let told = TOLD_LOG2.map(|log2| ((1_u64 << log2) as f64 / 1e6, below(log2)));
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        (told.collect(), counts.iter().sum(), sum)
    }

    fn counts(&self) -> Vec<u64> {
        let count = |bucket: &AtomicU64| bucket.load(Ordering::Relaxed);
        self.buckets.iter().map(count).collect()
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.summary().serialize(serializer)
    }
}

fn quantile(counts: &[u64], count: u64, percent: u64, max: u64) -> u64 {
    let rank = (count * percent).div_ceil(100);
    let mut seen = 0;
    for (place, in_bucket) in counts.iter().enumerate() {
        seen += in_bucket;
        if seen >= rank && seen > 0 {
            return end(place).map_or(max, |end| (end - 1).min(max));
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap_and_none_is_wide() {
        let mut begin = 0;
        for bucket in 0..BUCKETS - 1 {
            let end = end(bucket).unwrap();
            assert!(end > begin);
            assert_eq!((place(begin), place(end - 1)), (bucket, bucket));
            assert!(
                (end - begin) * PARTS <= begin.max(PARTS),
                "{begin} to {end}"
            );
            begin = end;
        }
        assert_eq!(begin, 1 << TOP_LOG2);
        assert_eq!((place(begin), place(u64::MAX)), (BUCKETS - 1, BUCKETS - 1));
        assert_eq!(end(BUCKETS - 1), None);
    }

    #[test]
    fn a_summary_is_near_the_truth_and_never_beyond_the_longest() {
        let histogram = Histogram::default();
        let nothing = histogram.summary();
        assert_eq!(
            (nothing.count, nothing.p99_ms, nothing.max_ms),
            (0, 0.0, 0.0)
        );
        for n in 1..=1000 {
            histogram.record(us(n * 10));
        }
        let summary = histogram.summary();
        assert_eq!((summary.count, summary.max_ms), (1000, 10.0));
        assert!((5.0..5.7).contains(&summary.p50_ms), "{summary:?}");
        assert!((9.9..=10.0).contains(&summary.p99_ms), "{summary:?}");
        let one = Histogram::default();
        one.record(us(1234));
        assert_eq!((one.summary().p50_ms, one.summary().p99_ms), (1.234, 1.234));
        one.record(Duration::MAX);
        assert_eq!(one.summary().count, 2);
    }

    #[test]
    fn what_prometheus_is_told_grows_to_the_count() {
        let histogram = Histogram::default();
        for value in [0, 63, 64, 100, 5_000_000, 1 << 30] {
            histogram.record(us(value));
        }
        let (told, count, sum) = histogram.cumulative();
        let below = |seconds: f64| told.iter().find(|(le, _)| *le == seconds).unwrap().1;
        assert_eq!((below(64e-6), below(128e-6)), (2, 4));
        assert_eq!((below(4.194304), below(8.388608)), (4, 5));
        assert!(told.is_sorted());
        assert_eq!((told.last().unwrap().1, count), (5, 6));
        assert!((sum - 1078.742051).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn threads_that_record_at_once_lose_nothing() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let histogram = &histogram;
                scope.spawn(move || (0..10_000).for_each(|n| histogram.record(us(n * thread))));
            }
        });
        assert_eq!(histogram.summary().count, 40_000);
        assert_eq!(histogram.summary().max_ms, 29.997);
    }
}
