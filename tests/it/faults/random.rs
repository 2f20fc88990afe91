//! Random decisions that a seed repeats.

use std::time::{SystemTime, UNIX_EPOCH};

/// A generator (xorshift). What it decides is the same for the same seed; what the machine makes
/// of it in between is not.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator from the seed in an environment variable, or a new one. The seed is printed.
    pub(crate) fn from_env(variable: &str) -> Self {
        let seed = match std::env::var(variable) {
            Ok(seed) => seed.parse().expect("a seed is a number"),
            Err(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                now.as_micros() as u64 % 1_000_000_007
            }
        };
        eprintln!("{variable}={seed}");
        Self::new(seed)
    }

    pub(crate) fn new(seed: u64) -> Self {
        // Zero would stay zero; small seeds have to differ in more than the last bits.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A generator of its own, for another task.
    pub(crate) fn split(&mut self) -> Self {
        Self::new(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number from zero to `bound`, which is not among them.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True this often in a hundred times.
    pub(crate) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
