//! What the measuring process tells the loading one, as lines of JSON.

use std::time::Duration;

use halink::Fid;
use serde::{Deserialize, Serialize};

/// What to do. Commands that name a number of links use the first ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Makes `count` more links, of processes with keys from `first_key` on, which all ask for
    /// their first entrypoint at once.
    Connect { first_key: u64, count: usize },
    /// Each link asks for the entrypoint once, all at once.
    Entrypoint { links: usize },
    /// Each link sends process events without waiting, until all are delivered.
    Events { links: usize, each: usize },
    /// The first link sends process events, each after the one before is delivered. The samples
    /// are the times that took.
    EventsSerial { count: usize },
    /// The first link sends service events, which need no Consul, each after the one before is
    /// delivered. The samples are the times that took.
    ServiceEvents { count: usize },
    /// Each link sends NVEC GETs, at most `window` of them unanswered. The samples are the times
    /// from each to its answer.
    Nvec {
        links: usize,
        window: usize,
        each: usize,
        objects: Vec<Fid>,
    },
    /// Answers once when it looks out, and again when each link has what is expected. The samples
    /// are the points in time at which the links had it; there are none if not all have it in time.
    Await {
        links: usize,
        expected: Expected,
        patience: Duration,
    },
}

/// An NVEC SET that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expected {
    /// An object that it names.
    pub(crate) object: Fid,
    /// The state it gives the object.
    pub(crate) state: u32,
    /// The least number of notes.
    pub(crate) notes: usize,
}

/// What came of a command; times are nanoseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// From the first byte sent until all was done.
    pub(crate) nanos: u64,
    /// What the command says.
    pub(crate) samples: Vec<u64>,
}
