//! Processes, services, nodes and checks, as the view of the cluster has them.

use std::collections::BTreeSet;

use halink::Fid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bridge::{SharedVerdicts, Verdicts};
use crate::cluster::Snapshot;
use crate::plugin::{Check, Hub, Node, Object, Process, Service, SourceId};

/// Follows the view, and what fencing makes of it.
#[derive(Debug)]
pub struct ViewSource {
    /// The view.
    pub view: watch::Receiver<Snapshot>,
    /// What fencing says of processes and nodes.
    pub verdicts: SharedVerdicts,
    /// The bridge's own process.
    pub own: Fid,
}

impl ViewSource {
    /// Tells the hub of every change until it is cancelled, or the view ends.
    pub async fn run(mut self, hub: Hub, cancel: CancellationToken) {
        let mut verdicts = self.verdicts.changes();
        loop {
            let snapshot = self.view.borrow_and_update().clone();
            let fences = verdicts.borrow_and_update().clone();
            // Before `m0conf/` has been read there is nothing to compare with.
            let up = !snapshot.tree.is_empty();
            if up {
                hub.resync(SourceId::View, objects(&snapshot, &fences, self.own));
            }
            hub.set_status(SourceId::View, |status| status.up = up);
            let changed = async {
                tokio::select! {
                    changed = self.view.changed() => changed,
                    changed = verdicts.changed() => changed,
                }
            };
            match cancel.run_until_cancelled(changed).await {
                Some(Ok(())) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}

/// Everything that a snapshot and the verdicts say.
fn objects(snapshot: &Snapshot, fences: &Verdicts, own: Fid) -> Vec<Object> {
    let tree = &snapshot.tree;
    let told = |object| {
        let state = snapshot.state_of(object)?;
        Some(fences.state(object, state, snapshot, own).to_string())
    };
    let mut objects = Vec::new();
    let mut nodes: BTreeSet<&str> = tree.nodes().map(|(node, _)| node).collect();
    nodes.extend(snapshot.failing.nodes.keys().map(String::as_str));
    nodes.extend(fences.fenced.iter().map(String::as_str));
    for node in nodes {
        let is_lost = snapshot.failing.nodes.contains_key(node);
        objects.push(Object::from(Node {
            node: node.to_owned(),
            state: Some(if is_lost { "lost" } else { "alive" }.to_owned()),
            fenced: Some(fences.fenced.contains(node)),
        }));
    }
    let configured = tree
        .nodes()
        .flat_map(|(_, processes)| processes.iter().copied());
    let mut processes: BTreeSet<Fid> = configured.collect();
    processes.extend(snapshot.processes.iter().map(|(process, _)| process));
    for process in processes {
        let status = snapshot.processes.get(process);
        objects.push(Object::from(Process {
            process: process.to_string(),
            node: node_of(snapshot, process),
            state: told(process),
            status: status.map(|status| status.state.to_string()),
            kind: status.map(|status| status.kind.to_string()),
        }));
    }
    for (service, process) in tree.services() {
        objects.push(Object::from(Service {
            service: service.to_string(),
            process: Some(process.to_string()),
            kind: tree.name_of(service).map(str::to_owned),
            state: told(service),
        }));
    }
    for process in snapshot.failing.processes.keys() {
        objects.push(Object::from(Check {
            process: process.to_string(),
            node: node_of(snapshot, *process),
            status: Some("critical".to_owned()),
        }));
    }
    objects
}

fn node_of(snapshot: &Snapshot, process: Fid) -> Option<String> {
    snapshot.tree.nodes_of(process).next().map(str::to_owned)
}
