//! Failure vectors: states of the devices of a pool (`ha/failvec.h`).

use serde::{Deserialize, Serialize};

use crate::fid::{Fid, FidType};
use crate::state::Note;

/// `M0_HA_MSG_FAILURE_VEC_REQ`: a process asks for the failure vector of a pool, and does not go on
/// starting before it has an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureVecReq {
    /// The pool.
    pub pool: Fid,
    /// `m0_cookie` by which the process finds its waiter again; the reply echoes it.
    pub cookie: [u64; 2],
}

/// A received `M0_HA_MSG_FAILURE_VEC_REP`, without its vector: the bridge asks for none, so nobody
/// waits for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureVecRep {
    /// The pool.
    pub pool: Fid,
    /// The cookie of the request it answers.
    pub cookie: [u64; 2],
    /// Notes of the vector.
    pub nr: u32,
}

/// `M0_HA_MSG_FAILURE_VEC_REP`: the failure vector of a pool, to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureVec {
    /// The pool.
    pub pool: Fid,
    /// The cookie of the request.
    pub cookie: [u64; 2],
    /// The devices that are not online, at most [`NOTES_MAX`](crate::NOTES_MAX).
    pub notes: Vec<Note>,
}

impl FailureVec {
    /// The pool that 5/HAX names in the vector it answers every request with.
    pub const STUB_POOL: Fid = Fid::typed(FidType::Pool, 2, 9);

    /// The answer 5/HAX prescribes: an empty vector for [`FailureVec::STUB_POOL`].
    #[must_use]
    pub const fn stub(cookie: [u64; 2]) -> FailureVec {
        FailureVec {
            pool: FailureVec::STUB_POOL,
            cookie,
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_is_what_5_hax_says() {
        let stub = FailureVec::stub([7, 8]);
        assert_eq!(stub.pool, Fid::new(0x6f00_0000_0000_0002, 9));
        assert_eq!(stub.cookie, [7, 8]);
        assert!(stub.notes.is_empty());
    }
}
