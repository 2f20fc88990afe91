//! `/v1/status`: what the bridge is doing, as one JSON document. It is answered from memory, so
//! it works when Consul does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use halink::Fid;
use serde::Serialize;

use super::counters::Counters;
use crate::cluster::{LeaderStatus, PartStatus, StoredStatus};

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
    /// Statuses in KV, as last seen.
    pub processes: BTreeMap<Fid, StoredStatus>,
    /// The dispatcher.
    pub queue: QueueRow,
    /// Consul.
    pub consul: ConsulRow,
    /// The leader.
    pub leader: LeaderStatus,
    /// Counters.
    pub counters: Arc<Counters>,
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
    /// Messages received over it.
    pub received: u64,
    /// Seconds since it was connected.
    pub age_seconds: u64,
}

/// The dispatcher.
#[derive(Debug, Serialize)]
pub struct QueueRow {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// The request in hand.
    pub in_hand: Option<String>,
    /// Seconds since its turn came.
    pub in_hand_seconds: Option<u64>,
    /// Events of the interface that have not been routed yet.
    pub events: usize,
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
