//! What the bridge counts and measures. Every counter only grows, from 0 at start.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

use crate::metrics::Histogram;

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

/// Defines the counters once: their names, and what is said of them in the code and to Prometheus.
macro_rules! counters {
    ($(#[$attribute:meta])* pub struct $Type:ident {
        $($(#[doc = $help:literal])+ pub $name:ident: Counter,)+
    }) => {
        $(#[$attribute])*
        pub struct $Type {
            $($(#[doc = $help])+ pub $name: Counter,)+
            /// Latencies, which `/v1/status` shows apart.
            #[serde(skip)]
            pub latencies: Latencies,
        }

        impl $Type {
            /// Name, meaning and count of each.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($help),+), self.$name.get()),)+].into_iter()
            }
        }
    };
}

/// What takes how long. Only what has come to its end is in here.
#[derive(Debug, Default, Serialize)]
pub struct Latencies {
    /// From the moment a broadcast is asked for to the acknowledgement of each of its messages.
    pub broadcast_delivered: Histogram,
    /// From the arrival of a process event to its being in KV.
    pub event_written: Histogram,
    /// From the arrival of an entrypoint request to its reply; EAGAIN is none.
    pub entrypoint_replied: Histogram,
    /// From the arrival of an NVEC GET to its answer.
    pub nvec_answered: Histogram,
}

counters! {
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
    /// Dead letters acknowledged because a later status of their process was written.
    pub dead_letters_superseded: Counter,
    /// Dead letters that had to go for newer ones.
    pub dead_letters_dropped: Counter,
    /// Statuses acknowledged unwritten because a later one waits too (libmotr, queue over bound).
    pub folded: Counter,
    /// NVEC GETs answered from the last known view, which may be old.
    pub nvec_gets_stale: Counter,
    /// Watch updates and other broadcasts done.
    pub broadcasts: Counter,
    /// Messages sent by broadcasts to other processes, one for each link and 1,024 notes.
    pub broadcast_messages: Counter,
    /// Messages of broadcasts that the other end has acknowledged.
    pub broadcast_delivered: Counter,
    /// Messages of broadcasts whose link ended before they were acknowledged.
    pub broadcast_not_delivered: Counter,
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
    /// Times at which more messages than `dispatch.queue_max` were held.
    pub queue_over_bound: Counter,
}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_told_with_its_meaning() {
        let counters = Counters::default();
        counters.retired.add(7);
        let told: Vec<_> = counters.each().collect();
        let shown = serde_json::to_value(&counters).unwrap();
        assert_eq!(told.len(), shown.as_object().unwrap().len());
        for (name, help, count) in told {
            assert_eq!(shown[name], count, "{name}");
            assert_eq!(count, if name == "retired" { 7 } else { 0 });
            assert!(help.trim().len() > 8, "{name}: {help}");
        }
    }
}
