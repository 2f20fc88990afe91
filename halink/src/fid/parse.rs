//! Reading a fid, and what is wrong with a text that is none.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Fid;
use crate::names::shorten;

/// A text that is no fid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a fid: {reason}")]
pub struct ParseFidError {
    /// The text, shortened if it is long.
    pub text: String,
    /// What is wrong with it.
    pub reason: FidSyntax,
}

/// What is wrong with a text that is no fid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FidSyntax {
    /// `<` without `>`, or the reverse.
    #[error("unbalanced angle brackets")]
    Brackets,
    /// Not exactly one `:`.
    #[error("expected two numbers with one ':' between them")]
    Colon,
    /// A half without a digit.
    #[error("the {0} has no digits")]
    Empty(Half),
    /// A half with a character that is no hexadecimal digit.
    #[error("the {0} has a character that is not a hexadecimal digit")]
    Digit(Half),
    /// A half above 64 bits.
    #[error("the {0} does not fit into 64 bits")]
    Overflow(Half),
}

/// A half of a fid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The part before the colon.
    Container,
    /// The part after the colon.
    Key,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Half::Container => "container",
            Half::Key => "key",
        })
    }
}

impl FromStr for Fid {
    type Err = ParseFidError;

    /// Reads `0x7200000000000001:0x4`, `7200000000000001:4` and `<7200000000000001:4>`: both
    /// halves are hexadecimal, `0x` or not, and leading zeros do not matter.
    fn from_str(text: &str) -> Result<Fid, ParseFidError> {
        parse(text).map_err(|reason| ParseFidError {
            text: shorten(text),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Fid, FidSyntax> {
    let inner = match (text.strip_prefix('<'), text.strip_suffix('>')) {
        (None, None) => text,
        (Some(rest), Some(_)) => rest.strip_suffix('>').ok_or(FidSyntax::Brackets)?,
        _ => return Err(FidSyntax::Brackets),
    };
    let (container, key) = inner.split_once(':').ok_or(FidSyntax::Colon)?;
    if key.contains(':') {
        return Err(FidSyntax::Colon);
    }
    Ok(Fid {
        container: parse_half(container, Half::Container)?,
        key: parse_half(key, Half::Key)?,
    })
}

fn parse_half(text: &str, half: Half) -> Result<u64, FidSyntax> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.is_empty() {
        return Err(FidSyntax::Empty(half));
    }
    // `from_str_radix` alone would let a sign through.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(FidSyntax::Digit(half));
    }
    u64::from_str_radix(digits, 16).map_err(|_| FidSyntax::Overflow(half))
}
