//! The chain of hashes, without files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 of a line, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

/// Text that is no [`Hash`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits")]
pub struct BadHash;

impl Hash {
    /// Of a line, without its end.
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(BadHash);
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(BadHash);
        };
        let bytes = pairs.iter().map(|[high, low]| {
            u8::try_from(digit(*high)? * 16 + digit(*low)?).map_err(|_| BadHash)
        });
        let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
        bytes.try_into().map(Self).map_err(|_| BadHash)
    }
}

impl TryFrom<String> for Hash {
    type Error = BadHash;

    fn try_from(text: String) -> Result<Self, BadHash> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

/// What of a line the chain needs.
#[derive(Debug, Deserialize)]
struct Link {
    seq: u64,
    prev: Hash,
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Broken {
    /// The line of its file, from 1.
    pub line: u64,
    /// How.
    pub why: Why,
}

/// How a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It cannot be read.
    #[error("it is not a line of an audit file: {0}")]
    NotALine(String),
    /// Its number is not the next one.
    #[error(
        "its number is {found} where {expected} comes next: lines were removed, added or moved"
    )]
    Number {
        /// The number of the line before it, and one.
        expected: u64,
        /// Its own.
        found: u64,
    },
    /// It does not have the hash of the line before it.
    #[error("it does not follow the line before it: that one was changed, or this one was")]
    Hash,
    /// The first line of all has a hash of something.
    #[error("it is the first one, but names a line before it")]
    Beginning,
    /// The file's last line has no end.
    #[error("it is incomplete")]
    Incomplete,
}

/// A hash that was noted, and where in the chain it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The hash.
    pub hash: Hash,
    /// The number of the line that has it.
    pub seq: Option<u64>,
}

/// Takes line after line.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Number and hash of the last line that was taken.
    pub last: Option<(u64, Hash)>,
    /// Number of the first one.
    pub first: Option<u64>,
    /// Looked for on the way.
    pub anchor: Option<Anchor>,
}

impl Chain {
    /// Takes the next line, without its end. A line that breaks the chain is taken, too, as far as it can be
    /// read, so that one break is not found again in each of the following lines.
    ///
    /// # Errors
    /// It does not follow the one before it.
    pub fn take(&mut self, line: &[u8]) -> Result<(), Why> {
        let hash = Hash::of(line);
        let link: Result<Link, _> = serde_json::from_slice(line);
        let link = match link {
            Ok(link) => link,
            Err(error) => {
                // The next line may have its hash, and counts it.
                self.last = Some((self.last.map_or(0, |(seq, _)| seq).saturating_add(1), hash));
                return Err(Why::NotALine(error.to_string()));
            }
        };
        let before = self.last.replace((link.seq, hash));
        self.first.get_or_insert(link.seq);
        if let Some(anchor) = &mut self.anchor
            && anchor.hash == hash
        {
            anchor.seq = Some(link.seq);
        }
        match before {
            None if link.seq == 1 && link.prev != Hash::default() => Err(Why::Beginning),
            None => Ok(()),
            Some((seq, _)) if seq.checked_add(1) != Some(link.seq) => Err(Why::Number {
                expected: seq.saturating_add(1),
                found: link.seq,
            }),
            Some((_, hash)) if hash != link.prev => Err(Why::Hash),
            Some(_) => Ok(()),
        }
    }

    /// Takes a whole file; the first break counts. Returns how many lines there were.
    ///
    /// # Errors
    /// The first break.
    pub fn take_file(&mut self, bytes: &[u8]) -> Result<u64, Broken> {
        let mut broken = None;
        let mut line = 0;
        for text in bytes.split_inclusive(|byte| *byte == b'\n') {
            line += 1;
            let why = match text.strip_suffix(b"\n") {
                Some(text) => self.take(text).err(),
                None => Some(Why::Incomplete),
            };
            if let Some(why) = why {
                broken.get_or_insert(Broken { line, why });
            }
        }
        broken.map_or(Ok(line), Err)
    }
}
