//! **request**: an operation is asked for, joins another, or waits for its turn.

use std::time::Duration;

use consul_client::{Error, Index, ReadOptions, TxnOp};
use tokio::time::Instant;

use super::command::bounded;
use super::context::{Context, Failed, millis, now, unchanged, write};
use crate::cluster::decode;
use crate::fence::handle::{Ask, Refused, Taken};
use crate::fence::model::{
    Before, JOINED_MAX, NodeName, OpId, Operation, Options, Origin, Phase, Refusal, Source, Target,
    keys,
};
use crate::fence::{FenceView, Stored};

/// Between two looks at an operation that is in the way.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two tries of a transaction.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// What is in the way of a new operation.
enum Found {
    /// Nothing: the request is committed.
    Created,
    /// An equal operation, which the request has joined.
    Joined(OpId),
    /// Another one.
    Other(OpId),
    /// It was there, and is there no more.
    Gone,
}

/// Takes a request. `grace`: the daemon has just started. `is_abandoned`: nobody waits for the answer.
///
/// # Errors
/// `no-quorum`, `startup-grace`, `unknown-target`; `busy` if another operation of the target does not
/// end within the time after which the request would expire.
pub(super) async fn request(
    context: &Context,
    ask: &Ask,
    grace: bool,
    is_abandoned: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Taken, Refused> {
    let by_itself = matches!(
        ask.source,
        Source::ProcessFailed | Source::Escalation | Source::NodeLost
    );
    if grace && by_itself {
        let grace = context.config.startup_grace;
        let detail = format!("it originates nothing by itself for fence.startup_grace, {grace:?}");
        return Err(Refused::new(Refusal::StartupGrace, detail));
    }
    bounded(context, known(context, ask.target.node())).await?;
    if let Some(op) = bounded(context, asked_before(context, ask)).await? {
        return Ok(Taken { op, merged: true });
    }
    let expire = ask.expire.unwrap_or(context.config.expire);
    let deadline = Instant::now() + expire;
    let op = operation(context, ask, expire);
    loop {
        let view = context.view();
        if let Some(op) = answered(&view, ask) {
            return Ok(Taken { op, merged: true });
        }
        let placed = bounded(context, place(context, &view, ask, &op)).await;
        match placed.map_err(|refused| doubtful(refused, &op.id))? {
            Found::Created => {
                return Ok(Taken {
                    op: op.id,
                    merged: false,
                });
            }
            Found::Joined(op) => return Ok(Taken { op, merged: true }),
            Found::Gone => tokio::time::sleep(TRY_AGAIN).await,
            Found::Other(other) => {
                wait_for(context, &other, deadline, is_abandoned).await;
            }
        }
        if Instant::now() >= deadline || is_abandoned() {
            let detail = format!("it did not end within {expire:?}");
            return Err(Refused::new(Refusal::Busy, detail));
        }
    }
}

/// Refuses what nobody knows, and without a quorum everything: then nothing has been written yet.
pub(super) async fn known(context: &Context, node: &NodeName) -> Result<(), Refused> {
    let catalog = context.consul.catalog().with(ReadOptions::consistent());
    let nodes = catalog.nodes().await.map_err(|error| no_quorum(&error))?;
    let view = context.view();
    if nodes.value.iter().any(|known| known.name == node.as_str())
        || view.peers.contains_key(node)
        || view.nodes.contains_key(node)
    {
        return Ok(());
    }
    let detail = format!("{node} is not among the {} nodes", nodes.value.len());
    Err(Refused::new(Refusal::UnknownTarget, detail))
}

/// The operation that serves a request with a number of its own, if it has been asked before: by its number, or
/// as one that has joined. The view of a daemon that has just started may not have it yet.
async fn asked_before(context: &Context, ask: &Ask) -> Result<Option<OpId>, Refused> {
    let Some(id) = &ask.id else {
        return Ok(None);
    };
    let kv = context.consul.kv().with(ReadOptions::consistent());
    let ops = async { decode(kv.listing(keys::OPS).await?.value, FenceView::parse_listing).await };
    let view = ops.await.map_err(|error| no_quorum(&error))?;
    let mut ops = view.ops.into_values().map(|op| op.value);
    let serves = |op: &Operation| {
        let same = |origin: &Origin| origin.source == ask.source && origin.who == ask.who;
        op.id == *id || same(&op.origin) || op.joined.iter().any(same)
    };
    match ops.find(serves) {
        Some(op) if op.target != ask.target || op.action != ask.action => {
            let detail = format!(
                "operation {} has that number, and is of another kind",
                op.id
            );
            Err(Refused::new(Refusal::Busy, detail))
        }
        found => Ok(found.map(|op| op.id)),
    }
}

fn operation(context: &Context, ask: &Ask, expire: Duration) -> Operation {
    Operation {
        id: ask.id.clone().unwrap_or_default(),
        target: ask.target.clone(),
        action: ask.action,
        origin: origin(context, ask),
        joined: Vec::new(),
        options: Options {
            overridden: overridden(ask),
            device: ask.device.clone(),
            delay_ms: millis(ask.delay),
            expire_ms: millis(expire),
            ending: None,
        },
        driver: context.me.clone(),
        phase: Phase::Requested,
        plan: None,
        before: Before::default(),
        attempts: Vec::new(),
    }
}

fn origin(context: &Context, ask: &Ask) -> Origin {
    Origin {
        node: context.me.clone(),
        source: ask.source,
        who: ask.who.clone(),
        reason: ask.reason.clone(),
        at: now(),
    }
}

fn overridden(ask: &Ask) -> Option<String> {
    ask.overridden
        .then(|| format!("{}: {}", ask.who, ask.reason))
}

/// The operation whose success is the answer: the target's last success, if it is of the same action and
/// not older than the tolerance.
fn answered(view: &FenceView, ask: &Ask) -> Option<OpId> {
    if ask.tolerance.is_zero() {
        return None;
    }
    let ops = view.ops.values().map(|op| &op.value);
    let of_target = ops.filter(|op| op.target == ask.target);
    let successes = of_target.filter_map(|op| {
        let end = op.ended().filter(|end| end.outcome.is_success())?;
        Some((end.at, op))
    });
    let (at, last) = successes.max_by_key(|(at, _)| *at)?;
    let recent = now().0.saturating_sub(at.0) <= millis(ask.tolerance);
    (recent && last.action == ask.action).then(|| last.id.clone())
}

/// Commits the request, or finds what is in its way. It may be repeated with the same operation: whether
/// an earlier transaction was committed whose answer was lost, the record tells.
async fn place(
    context: &Context,
    view: &FenceView,
    ask: &Ask,
    op: &Operation,
) -> Result<Found, Refused> {
    let key = keys::active(&op.target);
    let mut ops = vec![
        TxnOp::cas(key.as_str(), op.id.as_str(), Index(0)),
        write(op, Index(0)),
    ];
    if !ask.tolerance.is_zero() {
        ops.extend(no_later_success(view, ask));
    }
    loop {
        match context.commit(&ops).await {
            Ok(()) => return Ok(Found::Created),
            Err(Failed::Lost(_)) => break,
            Err(Failed::Away(error)) if !error.is_retryable() => return Err(no_quorum(&error)),
            Err(Failed::Away(_)) => tokio::time::sleep(TRY_AGAIN).await,
        }
    }
    // It may have been committed by a try whose answer was lost, and have ended since.
    if known_operation(context, &op.id).await?.is_some() {
        return Ok(Found::Created);
    }
    let read = context
        .read(&key)
        .await
        .map_err(|error| no_quorum(&error))?;
    let Some(pair) = read else {
        return Ok(Found::Gone);
    };
    let id = pair.text().ok().and_then(|id| id.parse::<OpId>().ok());
    let id = id.ok_or_else(|| unreadable(&key))?;
    let Some(there) = known_operation(context, &id).await? else {
        // Its record was removed by hand. Whoever still runs it holds the lock, or has lost it.
        let _ = context
            .commit(&[TxnOp::delete_cas(key, pair.modify_index)])
            .await;
        return Ok(Found::Gone);
    };
    if there.value.ended().is_some() {
        return Ok(Found::Gone);
    }
    if there.value.action != ask.action || there.value.options.device != ask.device {
        return Ok(Found::Other(id));
    }
    join(context, ask, there).await
}

/// A consistent read of an operation.
async fn known_operation(
    context: &Context,
    id: &OpId,
) -> Result<Option<Stored<Operation>>, Refused> {
    let read = context.operation(id).await;
    read.map_err(|error| match error {
        Error::Decode { .. } => unreadable(&keys::op(id)),
        error => no_quorum(&error),
    })
}

/// That the target has had no success since the view, in which there is none that would be the answer:
/// each one writes this record. Where it has, the view will tell.
fn no_later_success(view: &FenceView, ask: &Ask) -> Option<TxnOp> {
    let (key, index) = match &ask.target {
        Target::Node(node) => (keys::node(node), view.nodes.get(node).map(|it| it.index)),
        Target::Process { process, .. } => {
            let index = view.processes.get(process).map(|it| it.index);
            (keys::process(*process), index)
        }
    };
    // Of one that cannot be read nothing is known; the driver refuses what it is about.
    let known = !view.malformed.contains_key(&key);
    known.then(|| unchanged(key, index.unwrap_or_default()))
}

/// Joins an equal operation, which remembers who has.
async fn join(context: &Context, ask: &Ask, there: Stored<Operation>) -> Result<Found, Refused> {
    let mut next = there.value;
    let id = next.id.clone();
    if next.joined.len() < JOINED_MAX {
        next.joined.push(origin(context, ask));
    } else if ask.id.is_some() {
        // Unrecorded, it would be done again after a crash of who asks.
        return Ok(Found::Other(id));
    } else if !ask.overridden {
        return Ok(Found::Joined(id));
    }
    if next.options.overridden.is_none() {
        next.options.overridden = overridden(ask);
    }
    match context.commit(&[write(&next, there.index)]).await {
        Ok(()) => Ok(Found::Joined(id)),
        // It goes on; the next look tells whether it still can be joined.
        Err(Failed::Lost(_)) => Ok(Found::Gone),
        Err(Failed::Away(error)) => Err(no_quorum(&error)),
    }
}

/// Waits until an operation has ended, or the deadline.
async fn wait_for(
    context: &Context,
    id: &OpId,
    deadline: Instant,
    is_abandoned: &(dyn Fn() -> bool + Send + Sync),
) {
    let mut views = context.views.clone();
    loop {
        let gone = match views.borrow_and_update().ops.get(id) {
            Some(op) => op.value.ended().is_some(),
            // Not in the view yet, or not any more: KV tells.
            None => true,
        };
        if gone || Instant::now() >= deadline || is_abandoned() {
            break;
        }
        let look = deadline.min(Instant::now() + LOOK_EVERY);
        // Either way it is looked at again.
        let _ = tokio::time::timeout_at(look, views.changed()).await;
    }
    tokio::time::sleep(TRY_AGAIN).await;
}

/// A transaction without an answer may still be committed.
fn doubtful(refused: Refused, id: &OpId) -> Refused {
    let Refused { refusal, detail } = refused;
    let detail = format!("{detail}; should it have been taken nevertheless, it is operation {id}");
    Refused::new(refusal, detail)
}

/// Consul did not answer, or not as it should.
pub(super) fn no_quorum(error: &Error) -> Refused {
    Refused::new(Refusal::NoQuorum, error.to_string())
}

/// A record that this hax cannot read: written by another version, or by hand.
pub(super) fn unreadable(key: &str) -> Refused {
    let detail = format!("{key} cannot be read; look at it, and delete it if nothing of it runs");
    Refused::new(Refusal::Busy, detail)
}
