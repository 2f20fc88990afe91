//! What is measured, as `--json` prints it. What was not measured is null.

use std::collections::BTreeMap;

use serde::Serialize;

/// Values by number of links or of notes.
pub(super) type By = BTreeMap<usize, f64>;

/// All figures. `_ms` are milliseconds, `_ratio` is hax divided by Consul alone in the same run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    /// Process events of 100 processes, sent without waiting, until the last is delivered.
    pub(super) events_burst_per_s: Option<f64>,
    /// The same writes in transactions of 64 operations, one after another, by Consul alone.
    pub(super) events_burst_raw_per_s: Option<f64>,
    pub(super) events_burst_raw_ratio: Option<f64>,
    /// Process events of 4 processes.
    pub(super) events_burst_same_per_s: Option<f64>,
    /// Events of one process, each after the one before is delivered.
    pub(super) event_serial_per_s: Option<f64>,
    /// PUTs of one key, one after another, by Consul alone.
    pub(super) event_serial_raw_per_s: Option<f64>,
    /// Events whose two keys Consul alone writes in two PUTs, one after another.
    pub(super) event_serial_same_writes_per_s: Option<f64>,
    /// Transactions of both keys of an event, one after another, by Consul alone.
    pub(super) event_serial_raw_txn_per_s: Option<f64>,
    /// Events to PUTs: each event counts as one, though it writes two keys.
    pub(super) event_serial_raw_ratio: Option<f64>,
    /// Events to pairs of PUTs, which write what an event writes, but not at once.
    pub(super) event_serial_same_writes_ratio: Option<f64>,
    /// Events to transactions of both keys: what the bridge itself asks of Consul.
    pub(super) event_serial_txn_ratio: Option<f64>,
    /// From a message that needs no Consul to its delivery, one at a time, microseconds.
    pub(super) link_round_trip_us: Option<f64>,
    /// Events the bridge holds when Consul is away and more keep coming.
    pub(super) outage_held: Option<usize>,
    /// Resident memory they add.
    pub(super) outage_rss_mib: Option<f64>,
    /// Events of the outage written in a second once Consul is back, those that the processes had to
    /// keep included.
    pub(super) outage_drain_per_s: Option<f64>,
    /// 300 processes that ask at once.
    pub(super) entrypoint_per_s: Option<f64>,
    /// 1,000 processes that ask at once.
    pub(super) entrypoint_1000_per_s: Option<f64>,
    /// 900 processes that ask for the first time, all at once: the bridge makes their links.
    pub(super) entrypoint_first_per_s: Option<f64>,
    /// GETs of the confds from the catalog, one after another, by Consul alone.
    pub(super) entrypoint_raw_get_per_s: Option<f64>,
    /// Answers to NVEC GETs of 4 processes with 4 requests each on their way, by notes.
    pub(super) nvec_per_s: By,
    /// From an NVEC GET of 16 notes to its answer, one at a time.
    pub(super) nvec_p50_ms: Option<f64>,
    pub(super) nvec_p99_ms: Option<f64>,
    /// GETs of one key, one after another, by Consul alone.
    pub(super) nvec_raw_get_per_s: Option<f64>,
    /// From before the POST of a service watch until the last link has the notes, by links.
    pub(super) broadcast_p50_ms: By,
    pub(super) broadcast_p99_ms: By,
    /// The same until the first link has them.
    pub(super) broadcast_first_p50_ms: By,
    /// On 100 links, by notes.
    pub(super) broadcast_notes_p50_ms: By,
    /// On 100 links, with a small tree.
    pub(super) broadcast_small_tree_p50_ms: Option<f64>,
    /// Notes of the broadcasts by links.
    pub(super) broadcast_notes: Option<usize>,
    /// From before SIGKILL of a process until the last of 10 others has been told FAILED.
    pub(super) death_to_delivered_p50_ms: Option<f64>,
    /// Why there is no such figure.
    pub(super) death_note: Option<String>,
    /// The same when the bridge watches no processes, but Consul checks them every second.
    pub(super) death_by_check_p50_ms: Option<f64>,
    pub(super) death_by_check_max_ms: Option<f64>,
    /// Why there is no such figure.
    pub(super) death_by_check_note: Option<String>,
    /// Resident memory with the tree and no links.
    pub(super) rss_mib: Option<f64>,
    /// Resident memory a link adds.
    pub(super) link_kib: Option<f64>,
    /// CPU time of the bridge with nothing to do, of one core.
    pub(super) idle_cpu_percent: Option<f64>,
    /// From the start of the program until its own process has its entrypoint.
    pub(super) ready_ms: Option<f64>,
    /// Sample sizes.
    pub(super) samples: BTreeMap<&'static str, usize>,
    pub(super) tree_objects: usize,
    pub(super) small_tree_objects: Option<usize>,
    pub(super) consul_version: String,
    pub(super) consul_storage: &'static str,
    pub(super) cores: usize,
    pub(super) quick: bool,
    /// Whether the program is not optimised, and so no measure of anything.
    pub(super) debug_build: bool,
    pub(super) seconds: f64,
}

impl Figures {
    /// Notes how many values a figure is made of.
    pub(super) fn sampled(&mut self, figure: &'static str, count: usize) {
        *self.samples.entry(figure).or_default() += count;
    }
}
