//! The bridge as the HTTP server sees it.

use std::sync::Arc;
use std::time::Instant;

use halink::Handle;
use tokio::sync::watch;
use tracing::{info, warn};

use super::alarm::QueueAlarm;
use super::counters::Counters;
use super::dead_letters::{DeadLetters, LetterRow};
use super::exposition;
use super::job::Job;
use super::lane::{Lane, WatchError, WatchOutcome};
use super::links::{LinkStatus, Links};
use super::peers::Peers;
use super::status::{ConsulRow, LinkRow, Phase, QueueRow, Status};
use super::update::WatchUpdate;
use crate::cluster::{Leader, View};
use crate::death::Deaths;
use crate::dispatch::{Dispatcher, Request};
use crate::fence::FenceHandle;
use crate::plugin::PluginsHandle;
use crate::version;

/// Everything a client of the bridge can ask for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BridgeHandle {
    /// The parts whose state is shown.
    pub parts: Arc<Parts>,
    /// Broadcasts.
    pub lane: Lane,
    /// In profile `hare`, who handles what watches say of services.
    pub peers: Option<Peers>,
    /// Fencing, where it is configured.
    pub fence: Option<FenceHandle>,
    /// Plugins, where they are configured.
    pub plugins: Option<PluginsHandle>,
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
    /// Deaths of local processes.
    pub deaths: Arc<Deaths>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// The alarm at `dispatch.queue_max`.
    pub alarm: Arc<QueueAlarm>,
    /// The dispatcher.
    pub dispatcher: Dispatcher<Job>,
    /// Messages that Consul refuses for good.
    pub letters: Arc<DeadLetters>,
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
        if let Some(peers) = &self.peers
            && let Some(outcome) = peers.watch(&update).await?
        {
            return Ok(outcome);
        }
        self.lane.watch(update).await
    }

    /// Messages that Consul has refused for good.
    pub fn dead_letters(&self) -> Vec<LetterRow> {
        self.parts.letters.rows()
    }

    /// Hands dead letters to the dispatcher again, in the order of their arrival: this one, or all.
    /// Returns the IDs of those that were there.
    pub async fn replay(&self, id: Option<u64>) -> Vec<u64> {
        let parts = &*self.parts;
        let ids = id.map_or_else(|| parts.letters.ids(), |id| vec![id]);
        let mut replayed = Vec::new();
        for id in ids {
            if let Some(job) = parts.letters.take(id) {
                info!(id, what = %job, "a dead letter is handled again");
                parts.dispatcher.push(Request::Message(job)).await;
                replayed.push(id);
            }
        }
        replayed
    }

    /// Acknowledges a dead letter without writing it. Returns whether it was there.
    pub async fn discard(&self, id: u64) -> bool {
        let Some(job) = self.parts.letters.take(id) else {
            return false;
        };
        warn!(id, what = %job, "a dead letter is discarded: its status is never written");
        self.parts.letters.settled(&job.task);
        job.ack.delivered().await;
        true
    }

    /// What the bridge is doing.
    pub fn status(&self) -> Status {
        let parts = &*self.parts;
        let view = parts.view.last();
        let progress = parts.dispatcher.progress();
        let links = parts.links.status();
        let error = parts.view.last_error();
        let stats = parts.interface.stats();
        Status {
            version: version::long(),
            node: parts.node.clone(),
            phase: *parts.phase.borrow(),
            uptime_seconds: parts.started.elapsed().as_secs(),
            links: links
                .into_iter()
                .map(|link| row(link, &parts.deaths))
                .collect(),
            deaths: parts.deaths.all().into_iter().map(Into::into).collect(),
            processes: view.processes.iter().collect(),
            dead_letters: parts.letters.rows(),
            queue: QueueRow {
                waiting: progress.waiting,
                runs: progress.runs,
                in_hand_seconds: progress
                    .in_hand
                    .as_ref()
                    .map(|(_, at)| at.elapsed().as_secs()),
                in_hand: progress.in_hand.map(|(what, _)| what),
                events: stats.events,
                messages: stats.messages,
                over_bound: parts.alarm.observe(stats.messages, &parts.counters),
            },
            consul: ConsulRow {
                reachable: error.is_none(),
                error,
                objects: view.tree.len(),
                view: parts.view.parts(),
            },
            leader: parts.leader.status(),
            counters: Arc::clone(&parts.counters),
            latencies: exposition::latencies(&parts.counters.latencies)
                .map(|(name, _, histogram)| (name, histogram.summary()))
                .into(),
        }
    }

    /// What Prometheus is told.
    pub fn metrics(&self) -> String {
        exposition::text(&self.parts)
    }
}

fn row(link: LinkStatus, deaths: &Deaths) -> LinkRow {
    LinkRow {
        death_watch: deaths.state(link.id).map(Into::into),
        link: link.id.0,
        process: link.process,
        endpoint: link.endpoint,
        own: link.own,
        up: link.up,
        received: link.received,
        undelivered: link.undelivered,
        age_seconds: link.age.as_secs(),
    }
}
