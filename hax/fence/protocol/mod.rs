//! The decisions of the fencing protocol (`rfc/13-fencing-protocol.md`, "An operation"): pure functions of
//! records, without clock and without I/O. What they return becomes true only by a transaction with
//! check-and-set, so it does not matter who else has decided the same at the same time.
//!
//! ```text
//!   decide ─▶ Write: delegated ─▶ start ─▶ running ─▶ finish ─▶ ended ─▶ decide ─▶ ... ─▶ End
//! ```

mod attempt;
mod decide;
mod epoch;
mod level;
mod peers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::{NodeName, Operation, UnixMillis};
use super::view::Peer;

pub use attempt::{decline, delegated_to, finish, may_end, start};
pub use decide::decide;
pub use epoch::node_after;
pub use peers::{candidates, is_driver};

/// Runs of one operation at most, whatever its plan says: its record has to fit into one value of
/// Consul (512 KiB).
pub const RUNS_MAX: usize = 200;

/// Runs of one step that were not begun (`refused`, `not-installed`) and are no tries yet: a peer that
/// dies between two looks at it costs time, but no try.
pub const NOT_BEGUN_FREE: usize = 2;

/// After this, and a lock delay, an attempt that its delegate has not started is refused.
pub const ACCEPT: Duration = Duration::from_secs(10);

/// **start** must be answered within this time from before it was sent, and the agent spawned.
pub const START_WINDOW: Duration = Duration::from_secs(2);

/// How much longer than its bound a run may seem to take, until its daemon is taken for stuck.
pub const OVERDUE: Duration = Duration::from_secs(5);

/// How long a delegate has to start an attempt. The lock delay is part of it: the lock of the target
/// and the slots may have been those of a session that was lost a moment ago.
pub fn accept_max(lock_delay: Duration) -> Duration {
    ACCEPT.saturating_add(lock_delay)
}

/// After this a run that was seen to be running is certainly over, whatever became of its delegate: an
/// agent may be spawned until the end of the start window, and its end is not enforced before the lock delay
/// has passed.
pub fn certain_after(run_max: Duration, lock_delay: Duration) -> Duration {
    run_max
        .saturating_add(START_WINDOW)
        .saturating_add(lock_delay)
}

/// After this a run that was seen to be running is overdue, though its session lives.
pub fn overdue_after(run_max: Duration) -> Duration {
    run_max.saturating_add(OVERDUE)
}

/// What a decision is taken from, beside the operation.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// Who decides.
    pub me: &'a NodeName,
    /// The peers.
    pub peers: &'a BTreeMap<NodeName, Peer>,
    /// For the record; nothing is decided by it.
    pub now: UnixMillis,
    /// `me` has watched the open attempt, without a break and by its own clock, for [`certain_after`]
    /// since it first saw it in its state: what it ran has certainly ended.
    pub waited: bool,
    /// `me` has seen the open attempt delegated for [`accept_max`].
    pub accept_over: bool,
    /// `me` has seen the open attempt running for [`overdue_after`].
    pub overdue: bool,
}

/// What is to be done for an active operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing now: something else has to happen first.
    Wait,
    /// The operation with one more attempt, or with its open attempt ended.
    Write(Operation),
    /// The operation as it ends.
    End(Operation),
    /// This session hangs: it is to be destroyed.
    DestroySession(String),
}
