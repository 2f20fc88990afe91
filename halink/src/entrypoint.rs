//! Entrypoint requests, by which a process asks where confd and the principal RM are, and their
//! replies (`ha/entrypoint.h`).

use serde::{Deserialize, Serialize};

use crate::error::ReplyError;
use crate::fid::Fid;
use crate::id::RequestId;
pub(crate) use crate::start_gate::StartGate;

/// Confds in one reply at most (`HAX_CONFD_MAX`).
pub const CONFDS_MAX: usize = 64;

/// Bytes of an endpoint at most (`M0_NET_EP_ADDR`-sized buffers of `net/ip.h`, without the NUL).
pub const ENDPOINT_MAX: usize = 255;

/// A process asks for its entrypoint. Answer with
/// [`Handle::entrypoint_reply`](crate::Handle::entrypoint_reply) or
/// [`Handle::entrypoint_again`](crate::Handle::entrypoint_again), exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrypointRequest {
    /// Names the request.
    pub req_id: RequestId,
    /// Endpoint of the process.
    pub endpoint: String,
    /// The process.
    pub process: Fid,
    /// Revision of the Motr the process was built from; for people.
    pub git_rev: String,
    /// Its pid.
    pub pid: u64,
    /// Whether it is the first request of this incarnation of the process: its answer makes a new
    /// link.
    pub first: bool,
}

/// A confd server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confd {
    /// Its service.
    pub fid: Fid,
    /// Endpoint of its process.
    pub endpoint: String,
}

/// The answer to an [`EntrypointRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntrypointReply {
    /// Confds that must agree on the version of the configuration.
    pub quorum: u32,
    /// Service of the principal RM.
    pub rm: Fid,
    /// Endpoint of its process, at most [`ENDPOINT_MAX`] bytes.
    pub rm_endpoint: String,
    /// The confds, at most [`CONFDS_MAX`].
    pub confds: Vec<Confd>,
}

impl EntrypointReply {
    /// Tells whether the reply can be sent at all.
    ///
    /// # Errors
    ///
    /// [`ReplyError::TooManyConfds`] or [`ReplyError::Endpoint`].
    pub fn validate(&self) -> Result<(), ReplyError> {
        if self.confds.len() > CONFDS_MAX {
            return Err(ReplyError::TooManyConfds(self.confds.len()));
        }
        let endpoints = self.confds.iter().map(|confd| &confd.endpoint);
        for endpoint in endpoints.chain([&self.rm_endpoint]) {
            if endpoint.len() > ENDPOINT_MAX || endpoint.contains('\0') {
                return Err(ReplyError::Endpoint(crate::names::shorten(endpoint)));
            }
        }
        Ok(())
    }

    /// A reply that names nobody: enough for `start` to return when all we want is to stop.
    pub(crate) fn of_nobody() -> EntrypointReply {
        EntrypointReply {
            quorum: 0,
            rm: Fid::NIL,
            rm_endpoint: String::new(),
            confds: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confd(endpoint: &str) -> Confd {
        Confd {
            fid: Fid::new(1, 2),
            endpoint: endpoint.to_owned(),
        }
    }

    #[test]
    fn a_reply_beyond_its_limits_is_refused() {
        let mut reply = EntrypointReply::of_nobody();
        assert_eq!(reply.validate(), Ok(()));
        reply.confds = vec![confd(&"a".repeat(ENDPOINT_MAX)); CONFDS_MAX];
        assert_eq!(reply.validate(), Ok(()));
        reply.confds.push(confd(""));
        assert_eq!(reply.validate(), Err(ReplyError::TooManyConfds(65)));
        reply.confds = vec![confd(&"a".repeat(ENDPOINT_MAX + 1))];
        assert!(matches!(reply.validate(), Err(ReplyError::Endpoint(_))));
        reply.confds.clear();
        reply.rm_endpoint = "a\0b".to_owned();
        assert_eq!(
            reply.validate(),
            Err(ReplyError::Endpoint("a\0b".to_owned()))
        );
    }
}
