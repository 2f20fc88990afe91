//! Safe, asynchronous access to Motr's HA interface: events in, commands out.

mod failure_vec;
mod fid;
mod id;
mod message;
mod names;
mod nvec;
mod process;
mod state;
mod stob;

pub use failure_vec::{FailureVec, FailureVecReq};
pub use fid::{Fid, FidSyntax, FidType, Half, ParseFidError};
pub use id::{Epoch, LinkId, RequestId, Tag};
pub use message::{Keepalive, Malformed, Message, MessageKind, RpcEvent};
pub use names::UnknownName;
pub use nvec::{NvecGet, NvecSet};
pub use process::{ProcessEvent, ProcessStatus, ProcessType, ServiceEvent, ServiceStatus};
pub use state::{HaState, NOTES_MAX, Note};
pub use stob::{BeIoErr, SnsErr, StobIoqError};
