//! Numbers that name links, messages and requests within one run of the interface.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of a link, never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkId(pub u64);

/// Tag of a message, unique within its link and direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(pub u64);

/// `hm_epoch` of `ha/msg.h`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Number of an entrypoint request: an `m0_uint128`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The upper half.
    pub hi: u64,
    /// The lower half.
    pub lo: u64,
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `hi:lo`, hexadecimal, as Motr prints an `m0_uint128`.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:x}", self.hi, self.lo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_displayed_as_motr_prints_them() {
        assert_eq!(LinkId(3).to_string(), "3");
        assert_eq!(Tag(14).to_string(), "14");
        assert_eq!(Epoch(0).to_string(), "0");
        assert_eq!(RequestId { hi: 0, lo: 0x1f }.to_string(), "0:1f");
    }
}
