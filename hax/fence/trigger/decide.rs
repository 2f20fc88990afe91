//! What is asked for about a condition, from the records alone: whoever takes over decides the same
//! (`rfc/12-fencing.md`, "Triggers").

use std::time::Duration;

use consul_client::Index;
use halink::{Fid, ProcessType};

use super::condition::{Condition, Scene};
use crate::cluster::{ConfTree, StoredType};
use crate::config::fence::{DeviceKind, FenceConfig, PolicyConfig, Trigger};
use crate::fence::model::{
    Action, NodeName, Operation, Outcome, Refusal, Source, Target, UnixMillis,
};
use crate::fence::{FenceView, Stored};

/// How long a hax that is alive may take until it has published what it can do.
const PUBLISH_MAX: Duration = Duration::from_secs(60);

/// What is to be done about a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is being dealt with.
    Wait,
    /// Nothing, and why.
    Nothing(String),
    /// This is asked for.
    Ask {
        /// Of whom.
        target: Target,
        /// Off or reboot.
        action: Action,
        /// Why.
        source: Source,
        /// Why, for people.
        reason: String,
    },
}

/// What decides beside the condition itself.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// `[fence]`.
    pub config: &'a FenceConfig,
    /// What is stored under `fence/`.
    pub fence: &'a FenceView,
    /// What is known of processes.
    pub scene: Scene<'a>,
    /// The time of day; it only tells recent operations from old ones.
    pub now: UnixMillis,
}

/// The first policy that matches.
pub fn policy<'a>(
    config: &'a FenceConfig,
    tree: &ConfTree,
    target: &Target,
    trigger: Trigger,
) -> Option<&'a PolicyConfig> {
    let named = |process: Fid, name: &String| {
        name.parse() == Ok(process) || tree.has_service(process, name)
    };
    let of = |process: Fid, policy: &PolicyConfig| {
        policy.processes.iter().any(|name| named(process, name))
    };
    config.policies.iter().find(|policy| {
        let by_default = policy.triggers.is_empty() && trigger != Trigger::Motr;
        let triggers = by_default || policy.triggers.contains(&trigger);
        let processes = match target {
            _ if policy.processes.is_empty() => true,
            Target::Process { process, .. } => of(*process, policy),
            Target::Node(node) => {
                let mut processes = tree.processes_on(node.as_str()).iter();
                processes.any(|process| of(*process, policy))
            }
        };
        triggers && processes
    })
}

/// What is to be done about a condition that has lasted as long as its policy says.
pub fn decide(
    facts: &Facts<'_>,
    target: &Target,
    condition: &Condition,
    policy: &PolicyConfig,
) -> Decision {
    let Some(action) = policy.action else {
        return Decision::Nothing(format!("policy {} says so", policy.name));
    };
    let node = Target::Node(target.node().clone());
    if [target, &node]
        .iter()
        .any(|target| facts.fence.active.contains_key(target))
    {
        return Decision::Wait;
    }
    let reason = condition.reason.clone();
    let Target::Process { process, .. } = target else {
        let ask = |source| ask(target.clone(), action, source, reason);
        return match last(facts, target, condition, policy).map(|op| (op, verdict(op))) {
            Some((op, Verdict::LeftAlone)) => left_alone(op),
            _ => bounded(facts, target, policy, ask(Source::NodeLost)),
        };
    };
    let failed = match last(facts, target, condition, policy).map(|op| (op, verdict(op))) {
        Some((op, Verdict::LeftAlone)) => return left_alone(op),
        Some((op, Verdict::Failed)) if is_no_peer(op) && is_alive(facts.fence, target.node()) => {
            match ability(facts, target.node()) {
                Ability::Able => None,
                Ability::Unable => Some(format!("the hax of {} cannot kill it", target.node())),
                // It has just been started, and has not looked at its devices yet.
                Ability::Unknown if is_new(facts, target, condition) => return Decision::Wait,
                Ability::Unknown => Some(format!("operation {} found no peer", op.id)),
            }
        }
        Some((op, Verdict::Failed)) => Some(format!("operation {} did not succeed", op.id)),
        _ if condition.refused.is_some() => condition.refused.clone(),
        _ if !is_alive(facts.fence, target.node()) => {
            Some(format!("the hax of {} is not alive", target.node()))
        }
        _ if is_in_kernel(facts, *process) => Some("it runs in the kernel".to_owned()),
        _ => None,
    };
    match failed {
        None => {
            // A process is only ever ended; who starts it again is not for the fence to say.
            let ask = ask(target.clone(), Action::Off, Source::ProcessFailed, reason);
            bounded(facts, target, policy, ask)
        }
        Some(why) if !policy.escalate => Decision::Nothing(format!(
            "{why}, and policy {} does not escalate",
            policy.name
        )),
        Some(_) if node.node() == facts.scene.me => Decision::Nothing(
            "its node is this one, which the other peers have to fence".to_owned(),
        ),
        Some(why) => match last(facts, &node, condition, policy).map(|op| (op, verdict(op))) {
            Some((op, Verdict::LeftAlone)) => left_alone(op),
            _ => {
                let ask = ask(
                    node.clone(),
                    action,
                    Source::Escalation,
                    format!("{reason}; {why}"),
                );
                bounded(facts, &node, policy, ask)
            }
        },
    }
}

/// The live peers by name, without the one that is to be fenced.
pub fn originators<'a>(
    fence: &'a FenceView,
    target: &'a Target,
) -> impl Iterator<Item = &'a NodeName> {
    let live = fence
        .peers
        .iter()
        .filter(|(_, peer)| peer.session.is_some());
    let others = live.filter(move |(name, _)| target.process().is_some() || *name != target.node());
    others.map(|(name, _)| name)
}

fn ask(target: Target, action: Action, source: Source, reason: String) -> Decision {
    Decision::Ask {
        target,
        action,
        source,
        reason,
    }
}

fn left_alone(op: &Operation) -> Decision {
    Decision::Nothing(format!("an operator has cancelled operation {}", op.id))
}

fn is_alive(fence: &FenceView, node: &NodeName) -> bool {
    let peer = fence.peers.get(node);
    peer.is_some_and(|peer| peer.session.is_some())
}

fn is_in_kernel(facts: &Facts<'_>, process: Fid) -> bool {
    let status = facts.scene.view.processes.get(process);
    status.is_some_and(|status| status.kind == StoredType::Motr(ProcessType::Kernel))
}

fn is_no_peer(op: &Operation) -> bool {
    op.ended().map(|end| end.outcome) == Some(Outcome::Refused(Refusal::NoPeer))
}

/// Whether the hax of a node can kill a process, as it has published.
enum Ability {
    Able,
    Unable,
    /// It has published no device yet.
    Unknown,
}

fn ability(facts: &Facts<'_>, node: &NodeName) -> Ability {
    let Some(peer) = facts.fence.peers.get(node) else {
        return Ability::Unknown;
    };
    let published = &peer.record.devices;
    let mut kills = facts.config.devices.iter();
    let able = kills.any(|device| {
        matches!(device.kind, DeviceKind::Process) && published.contains_key(&device.name)
    });
    match able {
        true => Ability::Able,
        false if published.is_empty() => Ability::Unknown,
        false => Ability::Unable,
    }
}

/// Whether the first operation about this failure that has found no peer ended a short while ago.
fn is_new(facts: &Facts<'_>, target: &Target, condition: &Condition) -> bool {
    let ops = facts.fence.ops.values().filter(|stored| {
        let op = &stored.value;
        op.target == *target && is_no_peer(op) && stored.index.0 > condition.word
    });
    let ended = ops.filter_map(|stored| stored.value.ended().map(|end| end.at));
    let first = ended.min();
    first.is_none_or(|first| is_within(first, PUBLISH_MAX, facts.now))
}

/// What an ended operation says of the same failure.
enum Verdict {
    /// Nothing: it may be tried again.
    Again,
    /// It did not help.
    Failed,
    /// An operator does not want it.
    LeftAlone,
}

/// The target writes again, or the condition would not be there: so success says nothing.
fn verdict(op: &Operation) -> Verdict {
    match op.ended().map(|end| end.outcome) {
        None | Some(Outcome::Succeeded | Outcome::Confirmed) => Verdict::Again,
        Some(Outcome::Failed | Outcome::Indeterminate | Outcome::Expired) => Verdict::Failed,
        Some(Outcome::Cancelled) => Verdict::LeftAlone,
        Some(Outcome::Refused(refusal)) => match refusal {
            Refusal::NoDevice | Refusal::NoPeer | Refusal::UnknownTarget => Verdict::Failed,
            _ => Verdict::Again,
        },
    }
}

/// The last ended operation of a target that is about this failure. The output of a check that
/// goes on being critical gives it another index: so a recent operation counts as well.
fn last<'a>(
    facts: &Facts<'a>,
    target: &Target,
    condition: &Condition,
    policy: &PolicyConfig,
) -> Option<&'a Operation> {
    let about = |stored: &&Stored<Operation>| {
        let op = &stored.value;
        let recent = op
            .ended()
            .is_some_and(|end| is_within(end.at, policy.window, facts.now));
        op.target == *target
            && op.action.fences()
            && op.ended().is_some()
            && stored.index.0 > condition.word
            && (stored.index.0 > condition.seen || recent)
    };
    // With its node everything on it was fenced: what failed before says nothing of what came back.
    let fenced = match target {
        Target::Node(_) => Index(0),
        Target::Process { node, .. } => last_success(facts, node),
    };
    let ops = facts.fence.ops.values().filter(about);
    let ops = ops.filter(|stored| stored.index > fenced);
    ops.max_by_key(|stored| stored.index).map(|op| &op.value)
}

/// Index of the last operation that has fenced a node; zero: none is known.
fn last_success(facts: &Facts<'_>, node: &NodeName) -> Index {
    let ops = facts.fence.ops.values().filter(|stored| {
        let op = &stored.value;
        let end = op.ended();
        op.target.process().is_none()
            && op.target.node() == node
            && op.action.fences()
            && end.is_some_and(|end| end.outcome.is_success())
    });
    ops.map(|stored| stored.index).max().unwrap_or_default()
}

/// The decision, unless the policy's bound is reached.
fn bounded(
    facts: &Facts<'_>,
    target: &Target,
    policy: &PolicyConfig,
    decision: Decision,
) -> Decision {
    let counts = |op: &Operation| {
        let refused = op.ended().map(|end| end.outcome);
        op.target == *target
            && op.action.fences()
            && !matches!(refused, Some(Outcome::Refused(_)))
            && is_within(op.origin.at, policy.window, facts.now)
    };
    let ops = facts.fence.ops.values();
    let recent = ops.filter(|op| counts(&op.value)).count();
    if u32::try_from(recent).is_ok_and(|recent| recent < policy.max) {
        return decision;
    }
    Decision::Nothing(format!(
        "{target} was fenced {recent} times within {:?}, as often as policy {} allows",
        policy.window, policy.name
    ))
}

fn is_within(at: UnixMillis, window: Duration, now: UnixMillis) -> bool {
    let age = Duration::from_millis(now.0.saturating_sub(at.0));
    age <= window
}
