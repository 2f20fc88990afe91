//! The bridge as the HTTP server sees it.

use std::sync::Arc;
use std::time::Instant;

use halink::Handle;
use tokio::sync::watch;

use super::counters::Counters;
use super::job::Job;
use super::lane::{Lane, WatchError, WatchOutcome};
use super::links::{LinkStatus, Links};
use super::status::{ConsulRow, LinkRow, Phase, QueueRow, Status};
use super::update::WatchUpdate;
use crate::cluster::{Leader, View};
use crate::dispatch::Dispatcher;
use crate::version;

/// Everything a client of the bridge can ask for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BridgeHandle {
    /// The parts whose state is shown.
    pub parts: Arc<Parts>,
    /// Broadcasts.
    pub lane: Lane,
}

/// The parts whose state `/v1/status` shows.
#[derive(Debug)]
pub struct Parts {
    /// This node's name in Consul.
    pub node: String,
    /// When the daemon was started.
    pub started: Instant,
    /// Where the daemon is in its life.
    pub phase: watch::Sender<Phase>,
    /// Live links.
    pub links: Arc<Links>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// The dispatcher.
    pub dispatcher: Dispatcher<Job>,
    /// The view of the cluster.
    pub view: View,
    /// The election.
    pub leader: Leader,
    /// The interface.
    pub interface: Handle,
}

impl BridgeHandle {
    /// Says where the daemon is in its life.
    pub fn set_phase(&self, phase: Phase) {
        self.parts.phase.send_replace(phase);
    }

    /// Broadcasts what a watch said, and waits until it has been handed to every link.
    ///
    /// # Errors
    /// Too many broadcasts wait, or the bridge is stopping.
    pub async fn watch(&self, update: WatchUpdate) -> Result<WatchOutcome, WatchError> {
        self.lane.watch(update).await
    }

    /// What the bridge is doing.
    pub fn status(&self) -> Status {
        let parts = &*self.parts;
        let view = parts.view.last();
        let progress = parts.dispatcher.progress();
        let error = parts.view.last_error();
        Status {
            version: version::long(),
            node: parts.node.clone(),
            phase: *parts.phase.borrow(),
            uptime_seconds: parts.started.elapsed().as_secs(),
            links: parts.links.status().into_iter().map(row).collect(),
            processes: view.processes.iter().collect(),
            queue: QueueRow {
                waiting: progress.waiting,
                in_hand_seconds: progress
                    .in_hand
                    .as_ref()
                    .map(|(_, at)| at.elapsed().as_secs()),
                in_hand: progress.in_hand.map(|(what, _)| what),
                events: parts.interface.stats().events,
            },
            consul: ConsulRow {
                reachable: error.is_none(),
                error,
                objects: view.tree.len(),
                view: parts.view.parts(),
            },
            leader: parts.leader.status(),
            counters: Arc::clone(&parts.counters),
        }
    }
}

fn row(link: LinkStatus) -> LinkRow {
    LinkRow {
        link: link.id.0,
        process: link.process,
        endpoint: link.endpoint,
        own: link.own,
        up: link.up,
        received: link.received,
        age_seconds: link.age.as_secs(),
    }
}
