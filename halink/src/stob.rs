//! Failed input and output of storage objects (`stob/ioq_error.h`, `be/ha.h`, `sns/cm/ha.h`).

use serde::{Deserialize, Serialize};

use crate::fid::Fid;

/// Body of `M0_HA_MSG_STOB_IOQ`: an I/O of a storage object failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StobIoqError {
    /// The storage device in the configuration; nil if the stob belongs to none.
    pub conf_sdev: Fid,
    /// Domain of the storage object.
    pub stob_domain: Fid,
    /// The storage object within its domain.
    pub stob: Fid,
    /// File descriptor of its backing store.
    pub fd: i64,
    /// `m0_stob_io_opcode`.
    pub opcode: i64,
    /// Negative errno.
    pub rc: i64,
    /// Offset, in blocks of 2^`bshift` bytes.
    pub offset: u64,
    /// Size, in the same blocks.
    pub size: u64,
    /// Logarithm of the block size.
    pub bshift: u32,
}

/// Body of `M0_HA_MSG_BE_IO_ERR`: the back end's log or segment could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeIoErr {
    /// Errno, as the process sent it.
    pub errcode: u32,
    /// `m0_be_location`.
    pub location: u8,
    /// `m0_stob_io_opcode`.
    pub io_opcode: u8,
}

/// Body of `M0_HA_MSG_SNS_ERR`: repair or rebalance failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnsErr {
    /// Errno, as the process sent it.
    pub errcode: u32,
    /// `m0_cm_op`.
    pub opcode: u8,
}
