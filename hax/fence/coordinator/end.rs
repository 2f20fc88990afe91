//! What is written beside an operation that ends (`rfc/12-fencing.md`, "An operation").

use consul_client::TxnOp;

use super::context::json;
use crate::fence::model::{
    AttemptState, End, Ended, NodeRecord, Operation, Phase, ProcessRecord, RunResult, keys,
};
use crate::fence::{Stored, protocol};

/// The operation of **end** beside the operation's own record and `active/<t>`: what a success means for
/// its target. `stored` is the record of the target's node.
pub(super) fn success(stored: &Stored<NodeRecord>, op: &Operation) -> Option<TxnOp> {
    if !op.ended()?.outcome.is_success() {
        return None;
    }
    if let Some(next) = protocol::node_after(op, &stored.value, op.before.boot_id.clone()) {
        let key = keys::node(op.target.node());
        return Some(TxnOp::cas(key, json(&next), stored.index));
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
