//! Links to processes.

use crate::fid::Fid;
use crate::id::{LinkId, RequestId};

/// A link to one incarnation of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub id: LinkId,
    /// The entrypoint request whose answer bound it.
    pub req_id: RequestId,
    /// The process.
    pub process: Fid,
    /// Endpoint of the process.
    pub endpoint: String,
}
