//! What the bridge counts. Every counter only grows, from 0 at start.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Serialize for Counter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

/// All counters of the bridge, as `/v1/status` shows them.
#[derive(Debug, Default, Serialize)]
pub struct Counters {
    /// Entrypoint requests answered with the entrypoint.
    pub entrypoint_replies: Counter,
    /// Entrypoint requests answered with EAGAIN.
    pub entrypoint_again: Counter,
    /// Process events written to KV.
    pub process_events: Counter,
    /// NVEC GETs answered.
    pub nvec_gets: Counter,
    /// NVEC SETs of Motr that were broadcast, at least in part.
    pub nvec_sets: Counter,
    /// Failure vectors answered.
    pub failure_vecs: Counter,
    /// `M0_HA_MSG_STOB_IOQ` acknowledged and ignored.
    pub stob_ioq: Counter,
    /// `M0_HA_MSG_EVENT_SERVICE` acknowledged and ignored.
    pub service_events: Counter,
    /// `M0_HA_MSG_EVENT_RPC` acknowledged and ignored.
    pub rpc_events: Counter,
    /// Fatal messages: keepalives, `BE_IO_ERR`, `SNS_ERR`.
    pub fatal_messages: Counter,
    /// Messages that can never be handled.
    pub malformed: Counter,
    /// Failed Consul calls that are tried again.
    pub retries: Counter,
    /// Requests given up for a final error of Consul.
    pub final_errors: Counter,
    /// Watch updates and other broadcasts done.
    pub broadcasts: Counter,
    /// Messages sent by broadcasts, one for each link and 1,024 notes.
    pub broadcast_messages: Counter,
    /// Broadcasts refused because too many waited.
    pub broadcasts_refused: Counter,
    /// Messages that the other end has acknowledged.
    pub delivered: Counter,
    /// Messages whose link ended before they were acknowledged.
    pub not_delivered: Counter,
    /// Messages that could not be sent: the link was gone or had too many outstanding.
    pub send_errors: Counter,
    /// Processes of this machine that have died without STOPPED.
    pub deaths: Counter,
    /// Incarnations not watched for their death, because they were not identified.
    pub death_watch_unproven: Counter,
    /// Messages and links of processes that are not watched, because too many are.
    pub death_watch_refused: Counter,
    /// Processes retired: all their links dropped.
    pub retired: Counter,
}
