//! What other bridges and Consul's checks say of processes, in profile `hare`
//! (`rfc/11-hare-profile.md`).

use std::sync::Arc;

use consul_client::{CheckStatus, Error, SERF_HEALTH};
use halink::{Fid, ProcessEvent};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::lane::{Lane, WatchError, WatchOutcome};
use super::state_tree::{StateTree, Written};
use super::update::{ServiceHealth, WatchUpdate};
use super::verdicts::SharedVerdicts;
use crate::cluster::{Leader, ProcessTable, Snapshot};
use crate::death::Deaths;
use crate::profile::{self, Health};

/// Tells processes of this node what processes of other nodes have reported to their bridges, and
/// writes of lost processes that they are.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Where statuses are written.
    pub states: Arc<StateTree>,
    /// This node's name in Consul.
    pub node: String,
    /// The election: the leader speaks for the processes of a node that is lost.
    pub leader: Leader,
    /// Broadcasts.
    pub lane: Lane,
    /// What fences say.
    pub verdicts: SharedVerdicts,
    /// Who is dead, whatever Consul says.
    pub deaths: Arc<Deaths>,
}

impl Peers {
    /// Follows the statuses that others write until it is cancelled. Those that are there when it
    /// begins are no news: a process asks for them.
    pub async fn follow(self, cancel: CancellationToken) {
        let mut view = self.states.view.snapshots();
        let mut known: Option<Arc<ProcessTable>> = None;
        while let Some(Ok(())) = cancel.run_until_cancelled(view.changed()).await {
            let snapshot = view.borrow_and_update().clone();
            if let Some(known) = known.filter(|_| !snapshot.tree.is_empty()) {
                self.tell(&known, &snapshot).await;
            }
            // An empty table is one that has not been read yet.
            known = Some(Arc::clone(&snapshot.processes)).filter(|table| !table.is_empty());
        }
    }

    async fn tell(&self, known: &ProcessTable, snapshot: &Snapshot) {
        let relations = snapshot.tree.relations();
        for (process, status) in snapshot.processes.iter() {
            let here = self
                .node_of(snapshot, process)
                .is_none_or(|node| node == self.node);
            if here || known.get(process) == Some(status) {
                continue;
            }
            let own = self.states.own;
            let stored = |object| relations.state(object);
            let effects = profile::effects(&snapshot.tree, stored, own, process, status);
            let mut told = Written::silent(consul_client::Index(0));
            (told.notes, told.to) = (effects.notes, effects.to);
            self.lane.written(process, told).await;
        }
    }

    /// Handles what a watch said of services and nodes: processes that are lost are written as
    /// stopped, and told to everyone.
    ///
    /// # Errors
    /// Consul could not be asked, or the bridge is stopping; the watch may be posted again.
    pub async fn watch(&self, update: &WatchUpdate) -> Result<Option<WatchOutcome>, WatchError> {
        let services = match update {
            WatchUpdate::Services(services) | WatchUpdate::Checks { services, .. } => services,
            WatchUpdate::Nodes(_) | WatchUpdate::KeyPrefix { .. } => return Ok(None),
        };
        let mut outcome = WatchOutcome {
            notes: 0,
            links: 0,
            ignored: update.ignored(),
        };
        for service in services {
            if Health::of(service.status) == Health::Offline && self.is_unconfirmed(service) {
                // Its status would say that it has stopped, which nobody knows.
                let update = WatchUpdate::Services(vec![service.clone()]);
                let told = self.lane.watch(update).await?;
                outcome.notes += told.notes;
                outcome.links = outcome.links.max(told.links);
                continue;
            }
            let lost = self.lost(service).await.map_err(|error| {
                warn!(process = %service.process, %error, "what a watch said is not written");
                WatchError::Consul
            })?;
            let Some(written) = lost else {
                outcome.ignored += 1;
                continue;
            };
            info!(process = %service.process, status = ?service.status, "a process is lost");
            outcome.notes += written.notes.len();
            let reached = self.lane.written(service.process, written).await;
            outcome.links = outcome.links.max(reached);
        }
        Ok(Some(outcome))
    }

    /// Whether a fence has yet to confirm that a process writes nothing.
    fn is_unconfirmed(&self, service: &ServiceHealth) -> bool {
        let verdicts = self.verdicts.now();
        verdicts.enabled
            && !verdicts.is_confirmed(service.process, &self.states.view.last())
            && self.deaths.confirmed(service.process).is_none()
    }

    /// Writes of processes that fences have confirmed that they are lost, as their checks say, until it
    /// is cancelled.
    pub async fn follow_fences(self, cancel: CancellationToken) {
        let mut verdicts = self.verdicts.changes();
        let mut view = self.states.view.snapshots();
        loop {
            let changes = async {
                tokio::select! {
                    changed = verdicts.changed() => changed,
                    changed = view.changed() => changed,
                }
            };
            let Some(Ok(())) = cancel.run_until_cancelled(changes).await else {
                return;
            };
            let fences = verdicts.borrow_and_update().clone();
            let snapshot = view.borrow_and_update().clone();
            for (process, status) in snapshot.processes.iter() {
                if status.state == ProcessEvent::Stopped || !fences.is_confirmed(process, &snapshot)
                {
                    continue;
                }
                let writing = self.write_fenced(process, &snapshot);
                if let Some(Err(error)) = cancel.run_until_cancelled(writing).await {
                    // The next change of anything tries again.
                    warn!(%process, %error, "that the process was fenced is not written");
                }
            }
        }
    }

    /// Writes and tells that a process that was fenced is lost, if that is for this bridge to say.
    async fn write_fenced(&self, process: Fid, snapshot: &Snapshot) -> Result<(), Error> {
        let here = self.node_of(snapshot, process) == Some(&self.node);
        let leads = self.leader.status().node.as_deref() == Some(&self.node);
        if !here && !leads {
            return Ok(());
        }
        let index = snapshot.processes.index(process);
        let lost = self.states.lose(process, CheckStatus::Critical, index);
        if let Some(written) = lost.await? {
            self.lane.written(process, written).await;
        }
        Ok(())
    }

    async fn lost(&self, service: &ServiceHealth) -> Result<Option<Written>, Error> {
        let ServiceHealth {
            process,
            node,
            status,
            index,
        } = service;
        let theirs = *node != self.node;
        if Health::of(*status) != Health::Offline || theirs && !self.speaks_for(node).await? {
            return Ok(None);
        }
        self.states.lose(*process, *status, *index).await
    }

    /// Whether the bridge of a node is gone, so that the leader's has to speak for its processes.
    async fn speaks_for(&self, node: &str) -> Result<bool, Error> {
        if self.leader.status().node.as_deref() != Some(&self.node) {
            return Ok(false);
        }
        let health = self.states.consul.health();
        let checks = health.node(node).await?.value;
        let passing = |check: &consul_client::HealthCheck| {
            check.check_id == SERF_HEALTH && check.status == consul_client::CheckStatus::Passing
        };
        Ok(!checks.iter().any(passing))
    }

    fn node_of<'a>(&self, snapshot: &'a Snapshot, process: Fid) -> Option<&'a str> {
        let relations = snapshot.tree.relations();
        relations.name_of(relations.node_of(process)?)
    }
}
