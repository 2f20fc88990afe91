//! The types of the configuration's objects, and the letters that fids have of them.

use std::fmt;

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
