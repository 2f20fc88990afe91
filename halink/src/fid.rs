//! Fids, the names of Motr's objects (`fid/fid.h`).

mod fid_type;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::fid_type::FidType;
pub use self::parse::{FidSyntax, Half, ParseFidError};
use crate::names::from_text;

/// Bits of the container below the type letter.
const CONTAINER_BITS: u32 = 56;

/// A fid: `m0_fid` of `fid/fid.h`.
///
/// The top byte of the container is the letter of the object's type, for objects of the
/// configuration. Displayed as `0x7200000000000001:0x4`; with `{:#}` as Motr does,
/// `<7200000000000001:4>`. Both forms parse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fid {
    container: u64,
    key: u64,
}

impl Fid {
    /// The fid of nothing; Motr sends it where it has no fid to tell.
    pub const NIL: Fid = Fid {
        container: 0,
        key: 0,
    };

    /// The fid with these two halves, the type letter being part of the container.
    #[must_use]
    pub const fn new(container: u64, key: u64) -> Fid {
        Fid { container, key }
    }

    /// The fid of an object of the configuration: `M0_FID_TINIT`. Only the low 56 bits of
    /// `container` are used.
    #[must_use]
    pub const fn typed(fid_type: FidType, container: u64, key: u64) -> Fid {
        let low = container & ((1 << CONTAINER_BITS) - 1);
        Fid {
            container: (fid_type.letter() as u64) << CONTAINER_BITS | low,
            key,
        }
    }

    /// The upper half, type letter included.
    #[must_use]
    pub const fn container(self) -> u64 {
        self.container
    }

    /// The lower half.
    #[must_use]
    pub const fn key(self) -> u64 {
        self.key
    }

    /// The type of the object, if the fid has the letter of a type we know.
    #[must_use]
    pub const fn fid_type(self) -> Option<FidType> {
        FidType::from_letter((self.container >> CONTAINER_BITS) as u8)
    }

    /// Whether this is [`Fid::NIL`].
    #[must_use]
    pub const fn is_nil(self) -> bool {
        self.container == 0 && self.key == 0
    }
}

impl fmt::Display for Fid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            write!(f, "<{:x}:{:x}>", self.container, self.key)
        } else {
            write!(f, "{:#x}:{:#x}", self.container, self.key)
        }
    }
}

/// As displayed: two decimal numbers would help nobody.
impl fmt::Debug for Fid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:x}:{:x}>", self.container, self.key)
    }
}

impl Serialize for Fid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fid, D::Error> {
        from_text(deserializer, "a fid such as 0x7200000000000001:0x4")
    }
}
