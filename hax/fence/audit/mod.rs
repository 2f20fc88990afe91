//! The audit file of this node: what it has done, what operators have asked it, and the end of every
//! operation. One JSON object a line; each line has the SHA-256 of the one before it, so that a line that
//! was changed, removed, added or moved shows (`haxctl fence audit verify`). Lines removed from the end show
//! only against a hash that was noted elsewhere; `GET /v1/fence` has the last one.
//!
//! When the file has grown too large it is renamed to `<file>.<number of its last line>`, and the next one
//! begins with the hash of that line. The oldest are deleted.

mod chain;
mod diff;
mod entry;
mod file;
mod follow;

#[cfg(test)]
mod tests;

pub use chain::{Anchor, BadHash, Broken, Chain, Hash, Why};
pub use diff::diff;
pub use entry::{Entry, Event};
pub use file::{AuditError, AuditFile, Bounds, LINE_MAX};
pub use follow::{Audit, AuditLink, Head, follow};
