//! What is written beside an operation that ends (`rfc/13-fencing-protocol.md`, "An operation").

use consul_client::{Index, TxnOp};

use super::context::json;
use crate::fence::model::{
    AttemptState, End, Ended, NodeRecord, Operation, Phase, ProcessRecord, RunResult, keys,
};
use crate::fence::{Stored, protocol};

/// The record of a node, as it was read.
#[derive(Debug)]
pub(super) enum NodeNow {
    /// What it says; index 0 and the default without one.
    Read(Stored<NodeRecord>),
    /// It is there, and this hax cannot read it: written by another version, or by hand.
    Unreadable(Index),
}

/// The operation of **end** beside the operation's own record and `active/<t>`: what a success means for
/// its target. `node` is the record of the target's node.
///
/// One that cannot be read is overwritten by a fence: the operation has to end, and the epoch of its plan
/// was checked by each start. The node is quarantined then, for nobody knows whether it was. An `on` leaves
/// it as it is: what it says may be what keeps the node out.
pub(super) fn success(node: &NodeNow, op: &Operation) -> Option<TxnOp> {
    if !op.ended()?.outcome.is_success() {
        return None;
    }
    let key = keys::node(op.target.node());
    let (record, index) = match node {
        NodeNow::Read(stored) => (stored.value.clone(), stored.index),
        NodeNow::Unreadable(_) if op.target.process().is_none() && !op.action.fences() => {
            return None;
        }
        NodeNow::Unreadable(index) => {
            let why = format!("{key} could not be read when it was fenced");
            let record = NodeRecord {
                epoch: op.plan.as_ref().map_or(0, |plan| plan.epoch),
                quarantined: Some(why),
                ..NodeRecord::default()
            };
            (record, *index)
        }
    };
    if let Some(next) = protocol::node_after(op, &record, op.before.boot_id.clone()) {
        return Some(TxnOp::cas(key, json(&next), index));
    }
    let process = op.target.process().filter(|_| op.action.fences())?;
    let record = ProcessRecord {
        op: op.id.clone(),
        word: op.before.word,
    };
    Some(TxnOp::set(keys::process(process), json(&record)))
}

/// The operation as an operator has ended it. An attempt that nobody has started never will be.
pub(super) fn as_asked(op: &Operation, end: End) -> Operation {
    let mut next = op.clone();
    if let Some(last) = next.attempts.last_mut()
        && last.state == AttemptState::Delegated
    {
        let refused = |_: &usize| Ended {
            result: RunResult::Refused,
            evidence: "an operator has ended the operation".to_owned(),
            took_ms: 0,
        };
        let runs = last.steps.iter().map(refused).collect();
        last.state = AttemptState::Ended { runs };
    }
    next.phase = Phase::Ended(end);
    next
}
