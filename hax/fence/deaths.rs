//! Telling the cluster which processes of this node are known to have ended, and which have been started
//! anew (`rfc/12-fencing.md`, "Triggers", "Fenced, and back").
//!
//! Nothing has to be done to them, so no operation runs: it is written as one that has ended,
//! confirmed by the kernel of this node.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consul_client::{Client, Error, Index, ReadOptions, TxnOp};
use halink::Fid;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::handle::FenceHandle;
use super::model::{
    Action, Before, End, NodeName, OpId, Operation, Options, Origin, Outcome, Phase, ProcessRecord,
    Source, Target, UnixMillis, keys,
};
use crate::bridge::SharedVerdicts;
use crate::cluster::{View, process};
use crate::death::Deaths;

/// Between two tries when Consul does not take it.
const AGAIN: Duration = Duration::from_secs(2);

/// The task that writes.
#[derive(Debug)]
pub struct DeathRecords {
    /// This node.
    pub me: NodeName,
    /// Consul.
    pub consul: Client,
    /// Who is dead.
    pub deaths: Arc<Deaths>,
    /// What processes have said last.
    pub view: View,
    /// Who has been started anew.
    pub verdicts: SharedVerdicts,
    /// What is recorded.
    pub handle: FenceHandle,
}

impl DeathRecords {
    /// Writes until it is cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let mut deaths = self.deaths.changes();
        let mut views = self.handle.views();
        let mut words = self.view.snapshots();
        let mut verdicts = self.verdicts.changes();
        loop {
            verdicts.mark_unchanged();
            let mut again = match cancel.run_until_cancelled(self.forget()).await {
                None => return,
                Some(all) => !all,
            };
            for dead in self.deaths.all() {
                let process = dead.dead().process;
                let recorded = self.handle.view().processes.get(&process).cloned();
                let word = words.borrow_and_update().processes.index(process);
                if recorded.is_some_and(|record| word <= record.value.word) {
                    continue;
                }
                match cancel.run_until_cancelled(self.record(process)).await {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        warn!(%process, %error, "the death of the process is not recorded");
                        again = true;
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = deaths.changed() => {}
                // A word that waited for Consul may be written after the death.
                Ok(()) = words.changed() => {}
                Ok(()) = views.changed() => {}
                Ok(()) = verdicts.changed() => {}
                () = tokio::time::sleep(AGAIN), if again => {}
            }
        }
    }

    /// The index is read before it is asked once more whether the process is dead: its next incarnation
    /// speaks through this bridge only, and later.
    async fn record(&self, process: Fid) -> Result<(), Error> {
        let kv = self.consul.kv().with(ReadOptions::consistent());
        let word = kv.get(&process::key(process)).await?.value;
        let word = word.map_or(0, |pair| pair.modify_index.0);
        let stored = kv.get(&keys::process(process)).await?.value;
        let known: Option<ProcessRecord> = stored.as_ref().and_then(|pair| pair.json().ok());
        if known.is_some_and(|known| word <= known.word) {
            return Ok(());
        }
        let Some(dead) = self.deaths.confirmed(process) else {
            return Ok(());
        };
        let index = stored.map_or(Index(0), |pair| pair.modify_index);
        let op = self.operation(process, word, dead.dead().pid);
        let record = ProcessRecord {
            op: op.id.clone(),
            word,
        };
        let ops = [
            TxnOp::cas(keys::op(&op.id), json(&op), Index(0)),
            TxnOp::cas(keys::process(process), json(&record), index),
        ];
        self.consul.txn().commit(&ops).await?;
        info!(%process, word, op = %op.id, "the death of the process is recorded");
        if self.deaths.confirmed(process).is_none() {
            // Its next incarnation has come meanwhile.
            self.verdicts.is_over(process, op.id.to_string());
        }
        Ok(())
    }

    /// Deletes the records of those that have been started anew. Whether all are gone.
    async fn forget(&self) -> bool {
        let mut all = true;
        let over = self.verdicts.now().over.clone();
        let view = self.handle.view();
        for (process, op) in over {
            let is_there = view.processes.get(&process);
            if is_there.is_none_or(|record| record.value.op.as_str() > op.as_str()) {
                continue;
            }
            if let Err(error) = self.delete(process, &op).await {
                warn!(%process, op, %error, "the record of an earlier life of the process stays");
                all = false;
            }
        }
        all
    }

    async fn delete(&self, process: Fid, op: &str) -> Result<(), Error> {
        let key = keys::process(process);
        let kv = self.consul.kv().with(ReadOptions::consistent());
        let Some(pair) = kv.get(&key).await?.value else {
            return Ok(());
        };
        let record: ProcessRecord = pair.json()?;
        // Else a newer operation has written it, or somebody is about to: the view will say.
        if record.op.as_str() <= op && self.consul.kv().delete_cas(&key, pair.modify_index).await? {
            info!(%process, op, "the process has been started anew: it is not confirmed any more");
        }
        Ok(())
    }

    fn operation(&self, process: Fid, word: u64, pid: u64) -> Operation {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        let at = UnixMillis(u64::try_from(now).unwrap_or(u64::MAX));
        Operation {
            id: OpId::new(),
            target: Target::Process {
                process,
                node: self.me.clone(),
            },
            action: Action::Off,
            origin: Origin {
                node: self.me.clone(),
                source: Source::ProcessFailed,
                who: "death watch".to_owned(),
                reason: format!("pid {pid} has ended without STOPPED"),
                at,
            },
            joined: Vec::new(),
            options: Options::default(),
            driver: self.me.clone(),
            phase: Phase::Ended(End {
                outcome: Outcome::Confirmed,
                detail: format!("the kernel of {} says that it has ended", self.me),
                at,
            }),
            plan: None,
            before: Before {
                boot_id: None,
                word,
            },
            attempts: Vec::new(),
        }
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // Plain data with text keys always has a JSON form.
    serde_json::to_vec(value).unwrap_or_default()
}
