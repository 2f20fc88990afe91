//! The state of every object at one moment, by the rules of the profile.

use halink::{Fid, HaState};

use crate::cluster::Snapshot;
use crate::profile::{self, Checks};

/// What an NVEC GET is answered from.
#[derive(Debug, Clone)]
pub enum States {
    /// By 5/HAX.
    FiveHax(Snapshot),
    /// As Hare answers; `own` is the bridge's own process.
    Hare {
        /// What 5/HAX answers from.
        snapshot: Snapshot,
        /// All checks, not the critical ones alone.
        checks: Checks,
        /// The bridge's own process.
        own: Fid,
    },
}

impl States {
    /// The state of an object; `None` if nothing is known of it.
    pub fn state_of(&self, object: Fid) -> Option<HaState> {
        match self {
            Self::FiveHax(snapshot) => snapshot.state_of(object),
            Self::Hare {
                snapshot,
                checks,
                own,
            } => profile::state_of(snapshot, checks, *own, object),
        }
    }

    /// What 5/HAX answers from.
    pub fn snapshot(&self) -> &Snapshot {
        let (Self::FiveHax(snapshot) | Self::Hare { snapshot, .. }) = self;
        snapshot
    }
}
