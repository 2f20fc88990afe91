//! Publishing what Motr processes of this node report of others (`rfc/12-fencing.md`, "Triggers").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use consul_client::{Client, Error};
use halink::{Fid, FidType};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::model::{NodeName, ReportsRecord, keys};
use crate::bridge::{Report, ReportId, Reports};
use crate::cluster::Snapshot;
use crate::config::fence::{FenceConfig, REPORT_MAX, Trigger};

/// Pause after a write that did not succeed.
const AGAIN: Duration = Duration::from_secs(1);

/// Processes that are published at most.
const PUBLISHED_MAX: usize = 256;

/// Whether any policy is for reports.
pub fn are_wanted(config: &FenceConfig) -> bool {
    let mut policies = config.policies.iter();
    policies.any(|policy| policy.triggers.contains(&Trigger::Motr))
}

/// The task that publishes.
#[derive(Debug)]
pub struct Publisher {
    /// This node.
    pub me: NodeName,
    /// Consul.
    pub consul: Client,
    /// What processes have said of themselves, and whose services are whose.
    pub view: watch::Receiver<Snapshot>,
    /// What they say of others.
    pub reports: watch::Receiver<Arc<Reports>>,
}

/// What was known when a report was first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    report: Report,
    process: Fid,
    /// Index of the process's last word.
    word: u64,
}

impl Publisher {
    /// Publishes until it is cancelled. Then this peer is not alive, and what it has published counts for
    /// nothing.
    pub async fn run(mut self, cancel: CancellationToken) {
        // What the run before has published is not known to be true.
        let mut published = None;
        let mut seen = BTreeMap::new();
        loop {
            let reports = Arc::clone(&self.reports.borrow_and_update());
            let snapshot = self.view.borrow_and_update().clone();
            look(&mut seen, &reports, &snapshot);
            let record = record(&seen, &snapshot, Instant::now());
            let mut next = expiry(&seen);
            if published.as_ref() != Some(&record) {
                let publish = cancel.run_until_cancelled(self.publish(&record));
                match publish.await {
                    None => return,
                    Some(Ok(())) => {
                        let processes: Vec<_> = record.words.keys().map(Fid::to_string).collect();
                        info!(?processes, "Motr processes of this node report these");
                        published = Some(record);
                    }
                    Some(Err(error)) => {
                        warn!(%error, "what Motr processes report is not published yet");
                        next = Some(Instant::now() + AGAIN);
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = self.reports.changed() => if changed.is_err() { return },
                changed = self.view.changed() => if changed.is_err() { return },
                () = until(next) => {}
            }
        }
    }

    async fn publish(&self, record: &ReportsRecord) -> Result<(), Error> {
        let (kv, key) = (self.consul.kv(), keys::reports(&self.me));
        if record.words.is_empty() {
            return kv.delete(&key).await;
        }
        // Strings and numbers.
        let json = serde_json::to_string(record).unwrap_or_default();
        kv.put(&key, json).await
    }
}

/// Remembers new reports of processes that are known, and forgets those that were taken back.
fn look(seen: &mut BTreeMap<ReportId, Seen>, reports: &Reports, snapshot: &Snapshot) {
    seen.retain(|id, seen| reports.get(id) == Some(&seen.report));
    for (id, report) in reports {
        let process = match id.object.fid_type() {
            Some(FidType::Process) => Some(id.object),
            _ => snapshot.tree.process_of(id.object),
        };
        let known = process
            .filter(|process| *process != report.by && snapshot.processes.get(*process).is_some());
        if let Some(process) = known {
            seen.entry(*id).or_insert(Seen {
                report: *report,
                process,
                word: snapshot.processes.index(process),
            });
        }
    }
}

/// What of them counts now: not what is too old, nor what is about an earlier incarnation.
fn record(seen: &BTreeMap<ReportId, Seen>, snapshot: &Snapshot, now: Instant) -> ReportsRecord {
    let counts = seen.values().filter(|seen| {
        now < seen.report.since + REPORT_MAX && snapshot.processes.index(seen.process) <= seen.word
    });
    let words = counts.map(|seen| (seen.process, seen.word));
    ReportsRecord {
        words: words.take(PUBLISHED_MAX).collect(),
    }
}

/// When the next one is too old.
fn expiry(seen: &BTreeMap<ReportId, Seen>) -> Option<Instant> {
    let ends = seen.values().map(|seen| seen.report.since + REPORT_MAX);
    ends.filter(|end| *end > Instant::now()).min()
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}
