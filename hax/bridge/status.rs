//! `/v1/status`: what the bridge is doing, as one JSON document. It is answered from memory, so
//! it works when Consul does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use halink::Fid;
use serde::Serialize;

use super::counters::Counters;
use super::dead_letters::LetterRow;
use crate::cluster::{LeaderStatus, PartStatus, StoredStatus};
use crate::death::{ConfirmedDead, Evidence, WatchState};
use crate::metrics::Summary;

/// Where the daemon is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its own process has no entrypoint yet.
    #[default]
    Starting,
    /// All is up.
    Running,
    /// It drains.
    Stopping,
}

/// The document.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Version of hax, with commit and backend.
    pub version: &'static str,
    /// This node's name in Consul.
    pub node: String,
    /// Where the daemon is in its life.
    pub phase: Phase,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Live links.
    pub links: Vec<LinkRow>,
    /// Processes known to have ended without STOPPED, whose fids have not spoken since.
    pub deaths: Vec<DeathRow>,
    /// Statuses in KV, as last seen.
    pub processes: BTreeMap<Fid, StoredStatus>,
    /// The dispatcher.
    pub queue: QueueRow,
    /// Messages that Consul has refused for good.
    pub dead_letters: Vec<LetterRow>,
    /// Consul.
    pub consul: ConsulRow,
    /// The leader.
    pub leader: LeaderStatus,
    /// Counters.
    pub counters: Arc<Counters>,
    /// Latencies, as they are when the document is made.
    pub latencies: BTreeMap<&'static str, Summary>,
}

/// One link.
#[derive(Debug, Serialize)]
pub struct LinkRow {
    /// Its number in this run of the bridge.
    pub link: u64,
    /// The process at the other end.
    pub process: Fid,
    /// Its endpoint.
    pub endpoint: String,
    /// Whether this is the bridge's link to itself.
    pub own: bool,
    /// Whether the process has reported over it that it is up.
    pub up: bool,
    /// Whether the death of the process will be noticed; absent until it has spoken.
    pub death_watch: Option<DeathWatchRow>,
    /// Messages received over it.
    pub received: u64,
    /// Messages sent over it and not yet acknowledged.
    pub undelivered: u64,
    /// Seconds since it was connected.
    pub age_seconds: u64,
}

/// A watch for a death.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum DeathWatchRow {
    /// The process is being identified.
    Proving,
    /// It is watched.
    Watched {
        /// What identified it.
        evidence: Evidence,
    },
    /// It is not watched.
    Unproven {
        /// Why not.
        reason: String,
    },
    /// It has ended, or a new incarnation has its fid.
    Ended,
}

impl From<WatchState> for DeathWatchRow {
    fn from(state: WatchState) -> Self {
        match state {
            WatchState::Proving => Self::Proving,
            WatchState::Watched(evidence) => Self::Watched { evidence },
            WatchState::Unproven(reason) => Self::Unproven {
                reason: reason.to_string(),
            },
            WatchState::Ended => Self::Ended,
        }
    }
}

/// A confirmed death.
#[derive(Debug, Serialize)]
pub struct DeathRow {
    /// The process.
    pub process: Fid,
    /// The pid it had.
    pub pid: u64,
    /// When its death was noticed: seconds since 1970.
    pub at: u64,
    /// Seconds since then.
    pub age_seconds: u64,
    /// How it exited: only its parent is told.
    pub exit: &'static str,
}

impl From<ConfirmedDead> for DeathRow {
    fn from(confirmed: ConfirmedDead) -> Self {
        let at = confirmed.at().duration_since(UNIX_EPOCH);
        let dead = confirmed.dead();
        Self {
            process: dead.process,
            pid: dead.pid,
            at: at.unwrap_or_default().as_secs(),
            age_seconds: dead.noticed.elapsed().as_secs(),
            exit: "unknown",
        }
    }
}

/// The dispatcher.
#[derive(Debug, Serialize)]
pub struct QueueRow {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Runs of requests in hand.
    pub runs: usize,
    /// The run that has been in hand longest.
    pub in_hand: Option<String>,
    /// Seconds since its turn came.
    pub in_hand_seconds: Option<u64>,
    /// Events of the interface that have not been routed yet.
    pub events: usize,
    /// Messages received that are neither acknowledged nor given up.
    pub messages: usize,
    /// Whether as many messages were held as `dispatch.queue_max`, and not half of them have gone.
    pub over_bound: bool,
}

/// Consul.
#[derive(Debug, Serialize)]
pub struct ConsulRow {
    /// Whether the last query of each kind succeeded.
    pub reachable: bool,
    /// Why not.
    pub error: Option<String>,
    /// Objects known from `m0conf/`.
    pub objects: usize,
    /// Where the parts of the view stand.
    pub view: Vec<PartStatus>,
}
