//! What the bridge does when a process of this machine has died (`rfc/10-death-watch.md`).

use std::sync::Arc;

use halink::{Fid, ProcessEvent, ProcessType};
use tokio::sync::watch;
use tracing::warn;

use super::counters::Counters;
use super::lane::Lane;
use super::outbox::Outbox;
use crate::cluster::{Snapshot, StoredType};
use crate::death::{Dead, Handler};

/// The handler of deaths.
#[derive(Debug)]
pub struct Fallen {
    /// Counters.
    pub counters: Arc<Counters>,
    /// Who has failed is told here.
    pub lane: Lane,
    /// The link of a dead m0mkfs is dropped here.
    pub outbox: Outbox,
    /// What KV says of processes.
    pub view: watch::Receiver<Snapshot>,
}

impl Handler for Fallen {
    fn last_word(&self, process: Fid) -> Option<(ProcessType, bool)> {
        let status = self.view.borrow().processes.get(process)?;
        let StoredType::Motr(kind) = status.kind else {
            return None;
        };
        Some((kind, status.state == ProcessEvent::Stopped))
    }

    fn unproven(&self) {
        self.counters.death_watch_unproven.increment();
    }

    fn refused(&self) {
        self.counters.death_watch_refused.increment();
    }

    async fn failed(&self, dead: Dead) {
        self.counters.deaths.increment();
        if let Err(error) = self.lane.died(dead).await {
            warn!(process = %dead.process, %error, "the death of the process is not told");
        }
    }

    async fn mkfs_died(&self, Dead { link, process, .. }: Dead) {
        self.outbox.retire_dead(link, process).await;
    }
}
