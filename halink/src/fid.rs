//! Fids, the names of Motr's objects (`fid/fid.h`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::names::{from_text, shorten};

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

/// The type of an object of the configuration: the letter is `ft_id` of its `m0_fid_type`
/// (`conf/obj.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FidType {
    /// `t`: the root of the configuration.
    Root,
    /// `p`
    Profile,
    /// `o`
    Pool,
    /// `v`: pool version.
    Pver,
    /// `j`: an object of a pool version.
    Objv,
    /// `n`
    Node,
    /// `r`
    Process,
    /// `s`
    Service,
    /// `d`: storage device.
    Sdev,
    /// `S`
    Site,
    /// `a`
    Rack,
    /// `e`
    Enclosure,
    /// `c`
    Controller,
    /// `k`
    Drive,
    /// `g`: group of FDMI filters.
    FdmiGroup,
    /// `l`: FDMI filter.
    FdmiFilter,
}

impl FidType {
    /// Every type.
    pub const ALL: &'static [FidType] = &[
        FidType::Root,
        FidType::Profile,
        FidType::Pool,
        FidType::Pver,
        FidType::Objv,
        FidType::Node,
        FidType::Process,
        FidType::Service,
        FidType::Sdev,
        FidType::Site,
        FidType::Rack,
        FidType::Enclosure,
        FidType::Controller,
        FidType::Drive,
        FidType::FdmiGroup,
        FidType::FdmiFilter,
    ];

    /// The letter in the top byte of the container.
    #[must_use]
    pub const fn letter(self) -> u8 {
        match self {
            FidType::Root => b't',
            FidType::Profile => b'p',
            FidType::Pool => b'o',
            FidType::Pver => b'v',
            FidType::Objv => b'j',
            FidType::Node => b'n',
            FidType::Process => b'r',
            FidType::Service => b's',
            FidType::Sdev => b'd',
            FidType::Site => b'S',
            FidType::Rack => b'a',
            FidType::Enclosure => b'e',
            FidType::Controller => b'c',
            FidType::Drive => b'k',
            FidType::FdmiGroup => b'g',
            FidType::FdmiFilter => b'l',
        }
    }

    /// The type with this letter, if there is one.
    #[must_use]
    pub const fn from_letter(letter: u8) -> Option<FidType> {
        Some(match letter {
            b't' => FidType::Root,
            b'p' => FidType::Profile,
            b'o' => FidType::Pool,
            b'v' => FidType::Pver,
            b'j' => FidType::Objv,
            b'n' => FidType::Node,
            b'r' => FidType::Process,
            b's' => FidType::Service,
            b'd' => FidType::Sdev,
            b'S' => FidType::Site,
            b'a' => FidType::Rack,
            b'e' => FidType::Enclosure,
            b'c' => FidType::Controller,
            b'k' => FidType::Drive,
            b'g' => FidType::FdmiGroup,
            b'l' => FidType::FdmiFilter,
            _ => return None,
        })
    }

    /// The type's name in the configuration, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FidType::Root => "root",
            FidType::Profile => "profile",
            FidType::Pool => "pool",
            FidType::Pver => "pver",
            FidType::Objv => "objv",
            FidType::Node => "node",
            FidType::Process => "process",
            FidType::Service => "service",
            FidType::Sdev => "sdev",
            FidType::Site => "site",
            FidType::Rack => "rack",
            FidType::Enclosure => "enclosure",
            FidType::Controller => "controller",
            FidType::Drive => "drive",
            FidType::FdmiGroup => "fdmi_flt_grp",
            FidType::FdmiFilter => "fdmi_filter",
        }
    }
}

impl fmt::Display for FidType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_displayed_in_both_forms() {
        let fid = Fid::typed(FidType::Process, 1, 0x1f);
        assert_eq!(fid.to_string(), "0x7200000000000001:0x1f");
        assert_eq!(format!("{fid:#}"), "<7200000000000001:1f>");
        assert_eq!(format!("{fid:?}"), "<7200000000000001:1f>");
        assert_eq!(Fid::NIL.to_string(), "0x0:0x0");
    }

    #[test]
    fn parses_what_configuration_files_write() {
        let fid = Fid::new(0x7200_0000_0000_0001, 4);
        for text in [
            "0x7200000000000001:0x4",
            "0x7200000000000001:0x0004",
            "0x007200000000000001:0x4",
            "7200000000000001:4",
            "7200000000000001:0x4",
            "<7200000000000001:4>",
            "<0x7200000000000001:0x4>",
        ] {
            assert_eq!(text.parse(), Ok(fid), "{text}");
        }
        assert_eq!("aB:Cd".parse(), Ok(Fid::new(0xab, 0xcd)));
    }

    #[test]
    fn refuses_everything_else_and_says_why() {
        use FidSyntax::{Brackets, Colon, Digit, Empty, Overflow};
        for (text, reason) in [
            ("", Colon),
            ("7200000000000001", Colon),
            ("1:2:3", Colon),
            ("1::2", Colon),
            ("<>", Colon),
            ("<", Brackets),
            (">", Brackets),
            ("<1:2", Brackets),
            ("1:2>", Brackets),
            (":", Empty(Half::Container)),
            (":4", Empty(Half::Container)),
            ("0x:4", Empty(Half::Container)),
            ("4:", Empty(Half::Key)),
            ("4:0x", Empty(Half::Key)),
            ("+4:1", Digit(Half::Container)),
            ("4:-1", Digit(Half::Key)),
            (" 4:1", Digit(Half::Container)),
            ("4:1 ", Digit(Half::Key)),
            ("4: 1", Digit(Half::Key)),
            ("4:1\n", Digit(Half::Key)),
            ("0X4:1", Digit(Half::Container)),
            ("0x0x4:1", Digit(Half::Container)),
            ("4:g", Digit(Half::Key)),
            ("4:1_0", Digit(Half::Key)),
            ("<<4:1>>", Digit(Half::Container)),
            ("٤:1", Digit(Half::Container)),
            ("10000000000000000:1", Overflow(Half::Container)),
            ("1:10000000000000000", Overflow(Half::Key)),
        ] {
            let error = text.parse::<Fid>().unwrap_err();
            assert_eq!(error.reason, reason, "{text:?}");
            assert_eq!(error.text, text);
            let shown = error.to_string();
            assert!(shown.contains(&format!("{text:?}")) && shown.contains(&reason.to_string()));
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_long_text() {
        let error = "f".repeat(100_000).parse::<Fid>().unwrap_err();
        assert!(error.to_string().len() < 200);
    }

    #[test]
    fn a_type_is_its_letter() {
        for &fid_type in FidType::ALL {
            assert_eq!(FidType::from_letter(fid_type.letter()), Some(fid_type));
            assert_eq!(Fid::typed(fid_type, u64::MAX, 0).fid_type(), Some(fid_type));
        }
        let known = (0..=u8::MAX)
            .filter(|&letter| FidType::from_letter(letter).is_some())
            .count();
        assert_eq!(known, FidType::ALL.len());
        assert_eq!(
            Fid::typed(FidType::Pool, 2, 9),
            Fid::new(0x6f00_0000_0000_0002, 9)
        );
        assert_eq!(Fid::NIL.fid_type(), None);
    }

    #[test]
    fn is_a_string_in_json_and_a_key_of_a_map() {
        let fid = Fid::new(0x7200_0000_0000_0001, 4);
        assert_eq!(
            serde_json::to_string(&fid).unwrap(),
            r#""0x7200000000000001:0x4""#
        );
        let map = std::collections::BTreeMap::from([(fid, 1)]);
        let json = serde_json::to_string(&map).unwrap();
        assert_eq!(
            serde_json::from_str::<std::collections::BTreeMap<Fid, i32>>(&json).unwrap(),
            map
        );
        assert_eq!(
            serde_json::from_str::<Fid>(r#""\u0031:2""#).unwrap(),
            Fid::new(1, 2)
        );
        let error = serde_json::from_str::<Fid>(r#""nonsense""#).unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
    }

    proptest! {
        #[test]
        fn survives_both_forms_and_json(container: u64, key: u64) {
            let fid = Fid::new(container, key);
            prop_assert_eq!(fid.to_string().parse(), Ok(fid));
            prop_assert_eq!(format!("{fid:#}").parse(), Ok(fid));
            let json = serde_json::to_string(&fid).unwrap();
            prop_assert_eq!(serde_json::from_str::<Fid>(&json).unwrap(), fid);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC*") {
            if let Ok(fid) = text.parse::<Fid>() {
                prop_assert_eq!(fid.to_string().parse(), Ok(fid));
            }
        }

        #[test]
        fn texts_that_look_like_fids_are_parsed_or_refused(text in "<?(0x)?[0-9a-f]{0,18}:?(0x)?[0-9a-fx]{0,18}>?") {
            if let Ok(fid) = text.parse::<Fid>() {
                prop_assert_eq!(fid.to_string().parse(), Ok(fid));
            }
        }
    }
}
