//! Frames of the embedded ha_link: the process's half of 6/WIRE.
//!
//! Decoding is strict. A payload must be exactly as long as its content, strings
//! are printable and short, and every count has its limit; whatever is wrong is a
//! [`WireError`], which ends the connection. Values inside a message body (events,
//! states, types) stay numbers: judging them is not the codec's business.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use halink::Fid;
use thiserror::Error;

/// First four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"HAXL";
/// Version of the protocol.
pub const VERSION: u16 = 1;
/// Bytes of a frame before its payload.
pub const HEADER_LEN: usize = 16;
/// Bytes of a payload at most.
pub const PAYLOAD_MAX: usize = 32_768;
/// Notes in one message at most.
pub const NOTES_MAX: usize = 1_024;
/// Confds in one entrypoint reply at most.
pub const CONFDS_MAX: usize = 64;
/// Bytes of a string at most.
pub const STR_MAX: usize = 255;

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    #[error("magic is {0:02x?}, not \"HAXL\"")]
    Magic([u8; 4]),
    #[error("version is {0}, not {VERSION}")]
    Version(u16),
    #[error("frame type {0} is unknown")]
    FrameType(u16),
    #[error("payload of {0} bytes is above the limit of {PAYLOAD_MAX}")]
    PayloadTooLong(usize),
    #[error("reserved field is {0:#x}, not 0")]
    Reserved(u32),
    #[error("payload ends inside `{0}`")]
    Short(&'static str),
    #[error("{0} bytes follow the content of the payload")]
    Trailing(usize),
    #[error("`{field}` has {len} bytes, above the limit of {STR_MAX}")]
    StringTooLong { field: &'static str, len: usize },
    #[error("`{field}` holds byte {byte:#04x}, which is not printable ASCII")]
    NotPrintable { field: &'static str, byte: u8 },
    #[error("`{field}` counts {count}, above the limit of {limit}")]
    TooMany {
        field: &'static str,
        count: usize,
        limit: usize,
    },
    #[error("message type {0} is unknown")]
    MessageType(u32),
    #[error("`{field}` is {value}, which 6/WIRE does not allow")]
    Value { field: &'static str, value: i64 },
}

/// An object and its HA state (`M0_NC_*` of Motr's `ha/note.h`), as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub object: Fid,
    pub state: u32,
}

/// Frame 1: a process asks for the entrypoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrypointReq {
    pub seq: u64,
    /// First request of this incarnation of the process.
    pub first: bool,
    /// Bridge instance of the process's link; 0 if `first`.
    pub instance: u64,
    /// Link of the process; 0 if `first`.
    pub link: u64,
    pub process: Fid,
    pub pid: u64,
    pub endpoint: String,
    pub git_rev: String,
}

/// What became of the process's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStatus {
    Connected,
    Reused,
    Absent,
}

impl LinkStatus {
    /// The name 6/WIRE uses.
    pub fn name(self) -> &'static str {
        match self {
            LinkStatus::Connected => "CONNECTED",
            LinkStatus::Reused => "REUSED",
            LinkStatus::Absent => "ABSENT",
        }
    }
}

/// A confd service and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confd {
    pub fid: Fid,
    pub endpoint: String,
}

/// Frame 2: the bridge's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrypointRep {
    pub seq: u64,
    /// 0, or a negative errno: ask again.
    pub rc: i32,
    pub status: LinkStatus,
    pub instance: u64,
    pub link: u64,
    /// Confds that must agree.
    pub quorum: u32,
    /// Principal RM.
    pub rm: Fid,
    pub rm_endpoint: String,
    pub confds: Vec<Confd>,
}

/// Frame 3: a message, either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msg {
    pub tag: u64,
    pub fid: Fid,
    pub source_process: Fid,
    pub source_service: Fid,
    /// Nanoseconds.
    pub time: u64,
    pub epoch: u64,
    pub body: Body,
}

/// EVENT_PROCESS and EVENT_SERVICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfEvent {
    pub event: u64,
    /// Process type, or service type.
    pub kind: u64,
    pub pid: u64,
}

/// Body of a message; the variants are Motr's `m0_ha_msg_type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    StobIoq(StobIoq),
    Nvec {
        /// 0 SET, 1 GET.
        kind: u64,
        id_of_get: u64,
        ignore_same_state: u64,
        notes: Vec<Note>,
    },
    FailureVecReq {
        pool: Fid,
        cookie: [u64; 2],
    },
    FailureVecRep {
        pool: Fid,
        cookie: [u64; 2],
        notes: Vec<Note>,
    },
    KeepaliveReq {
        id: [u64; 2],
    },
    KeepaliveRep {
        id: [u64; 2],
        counter: u64,
    },
    Process(ConfEvent),
    Service(ConfEvent),
    Rpc {
        attempts: u64,
        state: u64,
    },
    BeIoErr {
        errcode: u32,
        location: u8,
        io_opcode: u8,
    },
    SnsErr {
        errcode: u32,
        opcode: u8,
    },
}

/// A failed I/O of a storage object (Motr's `stob/ioq_error.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StobIoq {
    pub conf_sdev: Fid,
    pub stob_domain: Fid,
    pub stob: Fid,
    pub fd: i64,
    pub opcode: i64,
    pub rc: i64,
    pub offset: u64,
    pub size: u64,
    pub bshift: u32,
}

/// NVEC type of a SET (`M0_HA_NVEC_SET`).
pub const NVEC_SET: u64 = 0;
/// NVEC type of a GET (`M0_HA_NVEC_GET`).
pub const NVEC_GET: u64 = 1;

impl Body {
    /// Number of the message type.
    pub fn msg_type(&self) -> u32 {
        match self {
            Body::StobIoq(_) => 1,
            Body::Nvec { .. } => 2,
            Body::FailureVecReq { .. } => 3,
            Body::FailureVecRep { .. } => 4,
            Body::KeepaliveReq { .. } => 5,
            Body::KeepaliveRep { .. } => 6,
            Body::Process(_) => 7,
            Body::Service(_) => 8,
            Body::Rpc { .. } => 9,
            Body::BeIoErr { .. } => 10,
            Body::SnsErr { .. } => 11,
        }
    }

    /// Lower-case name of the message; a vector says whether it sets or gets.
    pub fn name(&self) -> &'static str {
        match self {
            Body::StobIoq(_) => "stob_ioq",
            Body::Nvec { kind: NVEC_SET, .. } => "nvec_set",
            Body::Nvec { kind: NVEC_GET, .. } => "nvec_get",
            Body::Nvec { .. } => "nvec",
            Body::FailureVecReq { .. } => "failure_vec_req",
            Body::FailureVecRep { .. } => "failure_vec_rep",
            Body::KeepaliveReq { .. } => "keepalive_req",
            Body::KeepaliveRep { .. } => "keepalive_rep",
            Body::Process(_) => "event_process",
            Body::Service(_) => "event_service",
            Body::Rpc { .. } => "event_rpc",
            Body::BeIoErr { .. } => "be_io_err",
            Body::SnsErr { .. } => "sns_err",
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    EntrypointReq(EntrypointReq),
    EntrypointRep(EntrypointRep),
    Msg(Msg),
    /// The message with this tag need not be sent again.
    Delivered(u64),
}

impl Frame {
    /// Name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Frame::EntrypointReq(_) => "ENTRYPOINT_REQ",
            Frame::EntrypointRep(_) => "ENTRYPOINT_REP",
            Frame::Msg(_) => "MSG",
            Frame::Delivered(_) => "DELIVERED",
        }
    }

    fn frame_type(&self) -> u16 {
        match self {
            Frame::EntrypointReq(_) => 1,
            Frame::EntrypointRep(_) => 2,
            Frame::Msg(_) => 3,
            Frame::Delivered(_) => 4,
        }
    }
}

fn check_str(field: &'static str, s: &[u8]) -> Result<u16, WireError> {
    let too_long = WireError::StringTooLong {
        field,
        len: s.len(),
    };
    let len = u16::try_from(s.len())
        .ok()
        .filter(|_| s.len() <= STR_MAX)
        .ok_or(too_long)?;
    match s.iter().find(|b| !(0x20..=0x7e).contains(*b)) {
        Some(&byte) => Err(WireError::NotPrintable { field, byte }),
        None => Ok(len),
    }
}

fn check_count(field: &'static str, count: usize, limit: usize) -> Result<u32, WireError> {
    let too_many = WireError::TooMany {
        field,
        count,
        limit,
    };
    u32::try_from(count)
        .ok()
        .filter(|_| count <= limit)
        .ok_or(too_many)
}
