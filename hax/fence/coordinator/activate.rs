//! **activate**: the plan is fixed, and the guard counts (`rfc/12-fencing.md`, "Gates").

use std::collections::BTreeSet;

use consul_client::{Error, Index, TxnOp};
use tracing::warn;

use super::context::{Context, json, now, unchanged};
use crate::fence::model::{Action, Before, NodeRecord, Operation, Phase, Target, keys};
use crate::fence::{FenceView, Refused, Stored, gate, plan};

/// What **activate** would be.
pub(super) enum Activation {
    /// There is no plan for it.
    Refused(Refused),
    /// The active operation, and the other operations of the transaction.
    Ready {
        next: Box<Operation>,
        checks: Vec<TxnOp>,
    },
}

/// Makes the transaction from the view it was admitted by: where that is not current any more, the
/// transaction will not be committed.
///
/// # Errors
/// Consul did not answer.
pub(super) async fn prepare(
    context: &Context,
    view: &FenceView,
    op: &Operation,
) -> Result<Activation, Error> {
    let at = now();
    let node = op.target.node();
    let stored: Stored<NodeRecord> = view.nodes.get(node).cloned().unwrap_or_default();
    let mut next = op.clone();
    let mut record = unchanged(keys::node(node), stored.index);
    if op.target.process().is_none()
        && op.action.fences()
        && op.options.overridden.is_none()
        && gate::breaks_loop(&context.config, view, node, at)
    {
        warn!(%node, "fenced too often: it stays off, and is quarantined");
        next.action = Action::Off;
        let why = format!("fenced too often within {:?}", context.config.loop_window);
        let record_of = NodeRecord {
            quarantined: Some(why),
            ..stored.value.clone()
        };
        record = TxnOp::cas(keys::node(node), json(&record_of), stored.index);
    }
    let nodes = context.nodes();
    let facts = context.facts(view, &nodes);
    let epoch = stored.value.epoch;
    next.plan = match plan::plan(&facts, &op.target, next.action, &op.options, epoch) {
        Ok(plan) => Some(plan),
        Err(refused) => return Ok(Activation::Refused(refused)),
    };
    next.phase = Phase::Active;
    next.driver = context.me.clone();
    next.before = before(context, view, &op.target).await?;
    let mut checks = vec![record];
    checks.push(if op.action.fences() {
        let guard = gate::activated(&context.config, &view.guard.value, op, at);
        TxnOp::cas(keys::GUARD, json(&guard), view.guard.index)
    } else {
        unchanged(keys::GUARD.to_owned(), view.guard.index)
    });
    let of = [
        op.target.to_string(),
        op.target.node().to_string(),
        "*".to_owned(),
    ];
    for name in BTreeSet::from(of) {
        let inhibit = view.inhibits.get(&name);
        let index = inhibit.map_or(Index(0), |inhibit| inhibit.index);
        checks.push(unchanged(format!("{}{name}", keys::INHIBIT), index));
    }
    Ok(Activation::Ready {
        next: Box::new(next),
        checks,
    })
}

/// How the target is now.
async fn before(context: &Context, view: &FenceView, target: &Target) -> Result<Before, Error> {
    let mut before = Before::default();
    match target {
        Target::Node(node) => {
            let boot_id = view.peers.get(node).map(|peer| &peer.record.boot_id);
            before.boot_id = boot_id.filter(|id| !id.is_empty()).cloned();
        }
        Target::Process { process, .. } => {
            let word = context.read(&format!("processes/{process}")).await?;
            before.word = word.map_or(0, |pair| pair.modify_index.0);
        }
    }
    Ok(before)
}
