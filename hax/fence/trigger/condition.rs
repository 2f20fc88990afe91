//! What calls for a fence, as Consul and the records have it (`rfc/12-fencing.md`, "Triggers").

use std::collections::BTreeMap;

use halink::{Fid, ProcessEvent, ProcessType};

use super::decide::policy;
use crate::bridge::Verdicts;
use crate::cluster::{Snapshot, StoredStatus, StoredType};
use crate::config::fence::{FenceConfig, Trigger};
use crate::fence::FenceView;
use crate::fence::model::{NodeName, Target};

/// What conditions are found in.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// This node.
    pub me: &'a NodeName,
    /// The bridge's own process.
    pub own: Fid,
    /// What checks and processes say.
    pub view: &'a Snapshot,
    /// What fences say.
    pub verdicts: &'a Verdicts,
    /// What is stored under `fence/`: who reports whom.
    pub fence: &'a FenceView,
    /// `[fence]`: how many have to.
    pub config: &'a FenceConfig,
}

/// Something that calls for a fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// By what it was found.
    pub trigger: Trigger,
    /// For people.
    pub reason: String,
    /// Raft index of the process's last word, 0 for nodes: what was written earlier is about another
    /// incarnation.
    pub word: u64,
    /// Raft index of the check that says so, that of the word without one: what was written later is
    /// about this very failure.
    pub seen: u64,
    /// Why the coordinator cannot fence the process, if it has said so.
    pub refused: Option<String>,
}

/// All that holds now. A process of a lost node is not named beside its node.
pub fn conditions(scene: &Scene<'_>) -> BTreeMap<Target, Condition> {
    let lost = scene.view.failing.nodes.iter();
    let lost = lost.filter_map(|(node, index)| lost_node(scene, node, *index));
    let failed = scene.view.failing.processes.iter();
    let failed = failed.filter_map(|(process, index)| failed_process(scene, *process, *index));
    let isolated = scene.verdicts.isolated.iter();
    let isolated = isolated.filter_map(|process| isolated_process(scene, *process));
    let reported = reported(scene).into_iter();
    let reported = reported.filter_map(|(process, nodes)| reported_process(scene, process, &nodes));
    // What is known here without a doubt comes last, and counts.
    reported.chain(lost).chain(failed).chain(isolated).collect()
}

/// Who is reported, and on which nodes. A node whose hax is not alive says nothing, and so does what was
/// said of an earlier incarnation.
fn reported<'a>(scene: &Scene<'a>) -> BTreeMap<Fid, Vec<&'a NodeName>> {
    let mut reported: BTreeMap<Fid, Vec<&NodeName>> = BTreeMap::new();
    for (node, record) in &scene.fence.reports {
        let peer = scene.fence.peers.get(node);
        if peer.is_none_or(|peer| peer.session.is_none()) {
            continue;
        }
        for (process, word) in &record.value.words {
            if scene.view.processes.index(*process) <= *word {
                reported.entry(*process).or_default().push(node);
            }
        }
    }
    reported
}

/// One process that is confused, or has lost its network, reports all others: so what counts is how many
/// nodes they are on. A process that is starting or has stopped need not answer.
fn reported_process(
    scene: &Scene<'_>,
    process: Fid,
    nodes: &[&NodeName],
) -> Option<(Target, Condition)> {
    let status = scene.view.processes.get(process)?;
    let node = target_node(scene, process, status)?;
    if matches!(status.state, ProcessEvent::Starting | ProcessEvent::Stopped)
        || scene.view.failing.nodes.contains_key(node.as_str())
    {
        return None;
    }
    let target = Target::Process { process, node };
    let policy = policy(scene.config, &scene.view.tree, &target, Trigger::Motr)?;
    if u32::try_from(nodes.len()).is_ok_and(|number| number < policy.reporters) {
        return None;
    }
    let word = scene.view.processes.index(process);
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    let condition = Condition {
        trigger: Trigger::Motr,
        reason: format!("Motr processes on {} report {process}", nodes.join(", ")),
        word,
        seen: word,
        refused: None,
    };
    Some((target, condition))
}

/// A node is fenced for the sake of what may write there: with processes that have all stopped, or
/// have never run, it can be switched off and be lost without harm.
fn lost_node(scene: &Scene<'_>, name: &str, seen: u64) -> Option<(Target, Condition)> {
    let node: NodeName = name.parse().ok()?;
    let mut processes = scene.view.tree.processes_on(name).iter();
    let may_write = processes.any(|process| {
        let status = scene.view.processes.get(*process);
        status.is_some_and(|status| {
            status.state != ProcessEvent::Stopped && !is_of_the_bridge(scene, *process, status)
        })
    });
    if node == *scene.me || scene.verdicts.fenced.contains(name) || !may_write {
        return None;
    }
    let condition = Condition {
        trigger: Trigger::NodeLost,
        reason: format!("serfHealth of {node} is critical"),
        word: 0,
        seen,
        refused: None,
    };
    Some((Target::Node(node), condition))
}

/// The check counts if it is newer than the process's own word that it is up; a process that has
/// stopped is not fenced, nor is one that is still starting.
fn failed_process(scene: &Scene<'_>, process: Fid, check: u64) -> Option<(Target, Condition)> {
    let status = scene.view.processes.get(process)?;
    let word = scene.view.processes.index(process);
    let failed = match status.state {
        ProcessEvent::Started | ProcessEvent::DtmRecovered => word < check,
        ProcessEvent::Stopping => true,
        ProcessEvent::Starting | ProcessEvent::Stopped => false,
    };
    let node = target_node(scene, process, status)?;
    if !failed || scene.view.failing.nodes.contains_key(node.as_str()) {
        return None;
    }
    let condition = Condition {
        trigger: Trigger::Check,
        reason: format!("the check of {process} on {node} is critical"),
        word,
        seen: word.max(check),
        refused: None,
    };
    Some((Target::Process { process, node }, condition))
}

fn isolated_process(scene: &Scene<'_>, process: Fid) -> Option<(Target, Condition)> {
    let status = scene.view.processes.get(process)?;
    let node = target_node(scene, process, status)?;
    if node != *scene.me || status.state == ProcessEvent::Stopped {
        return None;
    }
    let word = scene.view.processes.index(process);
    let condition = Condition {
        trigger: Trigger::Isolate,
        reason: format!("{process} has sent a fatal message"),
        word,
        seen: word,
        refused: None,
    };
    Some((Target::Process { process, node }, condition))
}

/// The node of a process that may have to be fenced.
fn target_node(scene: &Scene<'_>, process: Fid, status: StoredStatus) -> Option<NodeName> {
    let done = scene.verdicts.is_confirmed(process, scene.view);
    if done || is_of_the_bridge(scene, process, status) || status.kind == ProcessType::M0mkfs {
        return None;
    }
    scene.view.tree.nodes_of(process).next()?.parse().ok()
}

/// A bridge writes nothing that a fence could keep it from.
fn is_of_the_bridge(scene: &Scene<'_>, process: Fid, status: StoredStatus) -> bool {
    process == scene.own
        || matches!(status.kind, StoredType::Bridge(_))
        || scene.view.tree.has_service(process, "ha")
}
