//! What operators change: confirm, override, cancel, release, inhibit.

use std::time::Duration;

use consul_client::{Error, Index, TxnOp};

use super::command::bounded;
use super::context::{Context, Failed, json, millis, now, unchanged, write};
use super::end;
use super::request::{no_quorum, unreadable};
use crate::fence::handle::{By, Refused};
use crate::fence::model::{
    Action, Before, End, Inhibit, NodeName, NodeRecord, OpId, Operation, Options, Origin, Outcome,
    Phase, Refusal, Source, Target, UnixMillis, keys,
};
use crate::fence::{Stored, protocol};

/// Between two tries of a transaction.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Ends the target's operation as confirmed, as soon as no run is under way. Without one, an operation is
/// recorded that has ended so.
pub(super) async fn confirm(context: &Context, target: &Target, by: &By) -> Result<OpId, Refused> {
    let new = OpId::new();
    bounded(context, async {
        loop {
            let key = keys::active(target);
            let active = context
                .read(&key)
                .await
                .map_err(|error| no_quorum(&error))?;
            if let Some(active) = active {
                let id = active.text().ok().and_then(|id| id.parse::<OpId>().ok());
                let id = id.ok_or_else(|| unreadable(&key))?;
                match ask_end(context, &id, by, Outcome::Confirmed).await {
                    Ok(()) => return Ok(id),
                    // It has ended by itself meanwhile.
                    Err(refused) if refused.refusal == Refusal::NoOperation => {}
                    Err(refused) => return Err(refused),
                }
            } else {
                match record_confirmed(context, target, by, &new).await {
                    Ok(()) => return Ok(new.clone()),
                    Err(Failed::Lost(_)) => {
                        // An earlier try whose answer was lost.
                        if let Ok(Some(_)) = context.operation(&new).await {
                            return Ok(new.clone());
                        }
                    }
                    Err(Failed::Away(error)) if error.is_retryable() => {}
                    Err(Failed::Away(error)) => return Err(no_quorum(&error)),
                }
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    })
    .await
}

async fn record_confirmed(
    context: &Context,
    target: &Target,
    by: &By,
    id: &OpId,
) -> Result<(), Failed> {
    let mut before = Before::default();
    if let Some(process) = target.process() {
        let word = context.read(&format!("processes/{process}")).await;
        let word = word.map_err(Failed::Away)?;
        before.word = word.map_or(0, |pair| pair.modify_index.0);
    } else {
        let view = context.view();
        let peer = view.peers.get(target.node());
        let boot_id = peer.map(|peer| peer.record.boot_id.clone());
        before.boot_id = boot_id.filter(|id| !id.is_empty());
    }
    let op = Operation {
        before,
        ..vouched(context, id, target.clone(), Action::Off, by)
    };
    let node = context.node(target.node()).await.map_err(Failed::Away)?;
    let mut ops = vec![
        unchanged(keys::active(target), Index(0)),
        write(&op, Index(0)),
    ];
    ops.extend(end::success(&node, &op));
    context.commit(&ops).await
}

/// An operation that an operator stands for, and for which nothing is run.
fn vouched(context: &Context, id: &OpId, target: Target, action: Action, by: &By) -> Operation {
    let at = now();
    Operation {
        id: id.clone(),
        target,
        action,
        origin: Origin {
            node: context.me.clone(),
            source: Source::Operator,
            who: by.who.clone(),
            reason: by.reason.clone(),
            at,
        },
        joined: Vec::new(),
        options: Options::default(),
        driver: context.me.clone(),
        phase: Phase::Ended(ended(Outcome::Confirmed, by, at)),
        plan: None,
        before: Before::default(),
        attempts: Vec::new(),
    }
}

/// Ends an operation, as soon as no run is under way.
pub(super) async fn cancel(context: &Context, id: &OpId, by: &By) -> Result<(), Refused> {
    bounded(context, ask_end(context, id, by, Outcome::Cancelled)).await
}

async fn ask_end(context: &Context, id: &OpId, by: &By, outcome: Outcome) -> Result<(), Refused> {
    loop {
        let at = now();
        let end = ended(outcome, by, at);
        let key = keys::op(id);
        let stored = context.operation(id).await;
        let stored = stored.map_err(|error| bad(&key, &error))?;
        if let Some(Some(there)) = stored.as_ref().map(|stored| stored.value.ended())
            && (there.outcome, &there.detail) == (outcome, &end.detail)
        {
            // Our own earlier try, whose answer was lost.
            return Ok(());
        }
        let stored = unended(id, stored)?;
        let mut ops = Vec::new();
        if !protocol::may_end(&stored.value) {
            let mut next = stored.value;
            next.options.ending = Some(end);
            ops.push(write(&next, stored.index));
        } else {
            let next = end::as_asked(&stored.value, end);
            let node = context.node(next.target.node()).await;
            let node = node.map_err(|error| no_quorum(&error))?;
            ops.push(TxnOp::delete(keys::active(&next.target)));
            ops.extend(end::success(&node, &next));
            ops.push(write(&next, stored.index));
        }
        if done(context.commit(&ops).await)? {
            return Ok(());
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Lets an operation pass the gates.
pub(super) async fn pass(context: &Context, id: &OpId, by: &By) -> Result<(), Refused> {
    bounded(context, async {
        loop {
            let stored = open(context, id).await?;
            let mut next = stored.value;
            if next.phase == Phase::Active || next.options.overridden.is_some() {
                return Ok(());
            }
            next.options.overridden = Some(words(by));
            if done(context.commit(&[write(&next, stored.index)]).await)? {
                return Ok(());
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    })
    .await
}

/// Brings a node back: it is neither fenced nor quarantined any more. With it, who did so and why is
/// recorded as an `on` that he has confirmed: so an earlier `off` is no answer to a request with a
/// tolerance any more.
pub(super) async fn release(context: &Context, node: &NodeName, by: &By) -> Result<(), Refused> {
    let key = keys::node(node);
    let id = OpId::new();
    bounded(context, async {
        loop {
            let stored: Stored<NodeRecord> = context
                .record(&key)
                .await
                .map_err(|error| bad(&key, &error))?;
            let mut next = stored.value;
            if next.fenced.is_none() && next.quarantined.is_none() {
                return Ok(());
            }
            next.fenced = None;
            next.quarantined = None;
            let op = vouched(context, &id, Target::Node(node.clone()), Action::On, by);
            let ops = [
                TxnOp::cas(key.as_str(), json(&next), stored.index),
                write(&op, Index(0)),
            ];
            if done(context.commit(&ops).await)? {
                return Ok(());
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    })
    .await
}

/// Inhibits fencing of a target, or of all, for a time; zero ends it.
pub(super) async fn inhibit(
    context: &Context,
    target: Option<&Target>,
    duration: Duration,
    by: &By,
) -> Result<(), Refused> {
    let key = target.map_or_else(|| keys::INHIBIT_ALL.to_owned(), keys::inhibit);
    let record = Inhibit {
        until: UnixMillis(now().0.saturating_add(millis(duration))),
        who: by.who.clone(),
        reason: by.reason.clone(),
    };
    let kv = context.consul.kv();
    bounded(context, async {
        let written = if duration.is_zero() {
            kv.delete(&key).await
        } else {
            kv.put(&key, json(&record)).await
        };
        written.map_err(|error| no_quorum(&error))
    })
    .await
}

/// A consistent read of an operation that has not ended.
async fn open(context: &Context, id: &OpId) -> Result<Stored<Operation>, Refused> {
    let stored = context.operation(id).await;
    unended(id, stored.map_err(|error| bad(&keys::op(id), &error))?)
}

fn unended(id: &OpId, stored: Option<Stored<Operation>>) -> Result<Stored<Operation>, Refused> {
    let detail = match stored {
        None => format!("{} does not exist", keys::op(id)),
        Some(stored) => match stored.value.ended() {
            None => return Ok(stored),
            Some(end) => format!("{id} has ended: {:?}", end.outcome),
        },
    };
    Err(Refused::new(Refusal::NoOperation, detail))
}

fn bad(key: &str, error: &Error) -> Refused {
    match error {
        Error::Decode { .. } => unreadable(key),
        error => no_quorum(error),
    }
}

/// Whether a transaction was committed; if not, what it was made from is read anew. The same goes for one
/// whose answer was lost: what it has written is then read.
fn done(committed: Result<(), Failed>) -> Result<bool, Refused> {
    match committed {
        Ok(()) => Ok(true),
        Err(Failed::Lost(_)) => Ok(false),
        Err(Failed::Away(error)) if error.is_retryable() => Ok(false),
        Err(Failed::Away(error)) => Err(no_quorum(&error)),
    }
}

fn ended(outcome: Outcome, by: &By, at: UnixMillis) -> End {
    End {
        outcome,
        detail: words(by),
        at,
    }
}

fn words(by: &By) -> String {
    format!("{}: {}", by.who, by.reason)
}
