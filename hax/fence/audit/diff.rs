//! From two views to what has happened between them.

use super::entry::Event;
use crate::fence::FenceView;
use crate::fence::model::{Attempt, AttemptState, NodeName, Operation, Phase};

/// What `me` has done, and what every node records. What came and went between the two views is told as far
/// as the record of the operation still shows it.
pub fn diff(before: &FenceView, now: &FenceView, me: &NodeName) -> Vec<Event> {
    let mut events = Vec::new();
    for (id, stored) in &now.ops {
        let old = before.ops.get(id).map(|old| &old.value);
        if old != Some(&stored.value) {
            operation(old, &stored.value, me, &mut events);
        }
    }
    for (node, stored) in &now.nodes {
        let old = before.nodes.get(node);
        if old.is_none_or(|old| old.value != stored.value) {
            events.push(Event::Node {
                name: node.clone(),
                epoch: stored.value.epoch,
                fenced: stored.value.fenced.as_ref().map(|fenced| fenced.op.clone()),
                quarantined: stored.value.quarantined.clone(),
            });
        }
    }
    for (target, stored) in &now.inhibits {
        let old = before.inhibits.get(target);
        if old.is_none_or(|old| old.value != stored.value) {
            events.push(Event::Inhibited {
                target: target.clone(),
                until: stored.value.until,
                who: stored.value.who.clone(),
                reason: stored.value.reason.clone(),
            });
        }
    }
    let gone = before.inhibits.keys();
    let gone = gone.filter(|target| !now.inhibits.contains_key(*target));
    events.extend(gone.cloned().map(|target| Event::Uninhibited { target }));
    events
}

fn operation(old: Option<&Operation>, op: &Operation, me: &NodeName, events: &mut Vec<Event>) {
    let id = || op.id.clone();
    if old.is_none() && op.origin.node == *me {
        events.push(Event::Requested {
            op: id(),
            target: op.target.clone(),
            action: op.action,
            source: op.origin.source,
            who: op.origin.who.clone(),
            reason: op.origin.reason.clone(),
        });
    }
    let joined = op.joined.iter().skip(old.map_or(0, |old| old.joined.len()));
    let joined = joined.filter(|origin| origin.node == *me);
    events.extend(joined.map(|origin| Event::Joined {
        op: id(),
        source: origin.source,
        who: origin.who.clone(),
        reason: origin.reason.clone(),
    }));
    let overridden = &op.options.overridden;
    if let Some(by) = overridden
        && old.and_then(|old| old.options.overridden.as_ref()) != Some(by)
    {
        let by = by.clone();
        events.push(Event::Overridden { op: id(), by });
    }
    if let Phase::Held { reason, .. } = &op.phase
        && op.driver == *me
        && old.is_none_or(|old| old.phase != op.phase)
    {
        let reason = reason.clone();
        events.push(Event::Held { op: id(), reason });
    }
    // The plan is fixed when it is activated.
    if let Some(plan) = &op.plan
        && op.driver == *me
        && old.is_none_or(|old| old.plan.is_none())
    {
        let epoch = plan.epoch;
        events.push(Event::Activated { op: id(), epoch });
    }
    for (number, attempt) in op.attempts.iter().enumerate() {
        let old = old.and_then(|old| old.attempts.get(number));
        if old != Some(attempt) {
            self::attempt(op, number, old, attempt, me, events);
        }
    }
    if let Some(end) = op.ended()
        && old.is_none_or(|old| old.ended().is_none())
    {
        events.push(Event::Ended {
            op: id(),
            target: op.target.clone(),
            action: op.action,
            outcome: end.outcome,
            detail: end.detail.clone(),
            driver: op.driver.clone(),
            source: op.origin.source,
            who: op.origin.who.clone(),
            reason: op.origin.reason.clone(),
            overridden: overridden.clone(),
        });
    }
}

fn attempt(
    op: &Operation,
    number: usize,
    old: Option<&Attempt>,
    attempt: &Attempt,
    me: &NodeName,
    events: &mut Vec<Event>,
) {
    let (is_driver, is_delegate) = (op.driver == *me, attempt.peer == *me);
    if old.is_none() && is_driver {
        let steps = op.steps_of(attempt);
        events.push(Event::Delegated {
            op: op.id.clone(),
            attempt: number,
            peer: attempt.peer.clone(),
            verified: attempt.verified,
            steps: steps
                .map(|step| format!("{} through {}", step.action.as_str(), step.device))
                .collect(),
        });
    }
    match &attempt.state {
        AttemptState::Running { session, .. } if is_delegate => events.push(Event::Running {
            op: op.id.clone(),
            attempt: number,
            session: session.clone(),
        }),
        AttemptState::Ended { runs } if is_delegate || is_driver => {
            events.push(Event::AttemptEnded {
                op: op.id.clone(),
                attempt: number,
                peer: attempt.peer.clone(),
                runs: runs.clone(),
            });
        }
        _ => {}
    }
}
