//! Fencing by request and response files (`rfc/12-fencing.md`, "Request files"), both sides of it.
//!
//! ```text
//!   Pacemaker ──▶ recorder ─┐  requests/   ┌─▶ responder ──▶ coordinator
//!   `files` device: client ─┴▶ exchange ───┴─▶ another's responder
//!                              responses/
//! ```
//!
//! [`recorder`] is a program of its own: it, and what it uses of this folder, is plain blocking code without
//! the runtime of the daemon.

pub mod client;
mod dir;
mod exchange;
mod message;
mod name;
mod nodes;
pub mod recorder;
pub mod responder;
mod watch;

pub use dir::{Dir, DirError, Trust, Unreadable};
pub use exchange::{Exchange, Heard, Pending, Withdrawn};
pub use message::{MESSAGE_MAX, Malformed, Request, Response, now, seconds};
pub use name::{FileName, TARGET_MAX};
pub use nodes::{NODES_FILE, NodePower, NodesFile};
pub use responder::Responder;

/// Bytes of a request or a response file.
pub const FILE_MAX: u64 = 64 * 1024;
