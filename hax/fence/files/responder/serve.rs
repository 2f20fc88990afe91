//! One request that is taken, until its response is on disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::super::message::{Request, Response, plain};
use super::super::name::FileName;
use super::super::nodes::{NODES_FILE, NodePower, NodesFile};
use super::blocking;
use super::store::{Store, Verdict, refusal};
use crate::fence::model::{
    Action, NodeName, OpId, Operation, Outcome, Phase, Refusal, Source, Target,
};
use crate::fence::{Ask, By, Command, FenceHandle, FenceView, Refused};

/// How often is looked whether somebody still waits.
const LOOK: Duration = Duration::from_millis(500);

/// How long a request of before a restart is looked for among the operations.
const RECALL: Duration = Duration::from_secs(10);

/// Pauses between tries that cannot be given up: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Serves a request until it is over, or `stop` has come.
pub(super) async fn serve(
    store: Arc<Store>,
    handle: FenceHandle,
    name: FileName,
    stop: CancellationToken,
) {
    let served = async {
        let (ours, file) = (Arc::clone(&store), name.clone());
        let response = match blocking(move || ours.judge(&file)).await? {
            Verdict::Ask {
                request,
                action,
                left,
            } => fence(&store, &handle, &name, &request, action, left).await,
            Verdict::Recall(request, else_say) => {
                recall(&store, &handle, &name, &request, else_say).await
            }
            Verdict::Refuse(response) => Some(response),
            Verdict::Answered => return finish(&store, &name).await,
            Verdict::Drop(why) => {
                warn!(request = %name, %why, "a request file is dropped");
                return finish(&store, &name).await;
            }
        };
        // Without one the coordinator has ended: the request stays on disk for the next.
        let Some(response) = response else {
            sleep(PAUSES.1).await;
            return None;
        };
        info!(request = %name, success = response.success, message = %response.message, "answered");
        until_done("a response cannot be written", || {
            let (store, name, response) = (Arc::clone(&store), name.clone(), response.clone());
            move || store.answer(&name, &response)
        })
        .await?;
        finish(&store, &name).await
    };
    tokio::select! {
        () = stop.cancelled() => {}
        _ = served => {}
    }
}

async fn finish(store: &Arc<Store>, name: &FileName) -> Option<()> {
    until_done("a request that is answered cannot be removed", || {
        let (store, name) = (Arc::clone(store), name.clone());
        move || store.finish(&name)
    })
    .await
}

/// Tries until it succeeds, or the responder is stopped.
async fn until_done<W>(what: &str, work: impl Fn() -> W) -> Option<()>
where
    W: FnOnce() -> std::io::Result<()> + Send + 'static,
{
    let (mut pause, longest) = PAUSES;
    loop {
        match blocking(work()).await? {
            Ok(()) => return Some(()),
            Err(error) => warn!(%error, "{what}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

async fn fence(
    store: &Arc<Store>,
    handle: &FenceHandle,
    name: &FileName,
    request: &Request,
    action: Action,
    left: Duration,
) -> Option<Response> {
    let until = Instant::now() + left;
    let (mut pause, longest) = PAUSES;
    let refused: Refused = loop {
        // Asked before a restart, perhaps.
        if let Some(op) = served_by(&handle.view(), name.id()) {
            return follow(store, handle, name, request, op).await;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Some(refusal(
                name,
                &request.action,
                "expired before it was begun",
            ));
        }
        let refused = match handle.request(ask(request, name, action, left)).await {
            Ok(taken) => return follow(store, handle, name, request, taken.op).await,
            Err(refused) => refused,
        };
        // These may pass; the others do not within the age of a request.
        let passes = matches!(
            refused.refusal,
            Refusal::NoQuorum | Refusal::StartupGrace | Refusal::Stopping
        );
        if !passes || pause >= left || cancelled(store, name).await {
            break refused;
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    };
    Some(refusal(
        name,
        &request.action,
        &format!("refused: {refused}"),
    ))
}

/// A request that must not be asked any more: it may have been asked before the restart.
async fn recall(
    store: &Arc<Store>,
    handle: &FenceHandle,
    name: &FileName,
    request: &Request,
    else_say: Response,
) -> Option<Response> {
    let mut views = handle.views();
    let recalled = timeout(RECALL, async {
        loop {
            let op = served_by(&views.borrow_and_update(), name.id());
            if op.is_some() || views.changed().await.is_err() {
                return op;
            }
        }
    });
    match recalled.await.ok().flatten() {
        Some(op) => follow(store, handle, name, request, op).await,
        None => Some(else_say),
    }
}

fn ask(request: &Request, name: &FileName, action: Action, left: Duration) -> Ask {
    Ask {
        id: Some(name.id().clone()),
        target: Target::Node(name.node().clone()),
        action,
        source: Source::Files,
        who: name.id().to_string(),
        reason: format!("request file of {}", plain(&request.recorder_node, 255)),
        tolerance: Duration::ZERO,
        device: None,
        delay: Duration::ZERO,
        overridden: false,
        expire: Some(left),
    }
}

/// The operation that serves a request: that of its own number, or the one that it has joined.
pub(super) fn served_by(view: &FenceView, request: &OpId) -> Option<OpId> {
    if view.ops.contains_key(request) {
        return Some(request.clone());
    }
    let joined = |op: &Operation| {
        let mut origins = op.joined.iter().chain([&op.origin]);
        origins.any(|it| it.source == Source::Files && it.who == request.as_str())
    };
    let mut ops = view.ops.values();
    ops.find(|op| joined(&op.value))
        .map(|op| op.value.id.clone())
}

/// Waits for the end of the operation. Where nobody waits for the request any more, the operation is
/// cancelled if it is the request's own.
async fn follow(
    store: &Arc<Store>,
    handle: &FenceHandle,
    name: &FileName,
    request: &Request,
    op: OpId,
) -> Option<Response> {
    let ended = handle.ended(&op);
    tokio::pin!(ended);
    let (mut told, mut warned) = (op != *name.id(), false);
    loop {
        match timeout(LOOK, &mut ended).await {
            Ok(op) => return Some(outcome(name, request, &op?)),
            Err(_) if told => {}
            Err(_) if cancelled(store, name).await => {
                let by = By {
                    who: request.request_id.to_string(),
                    reason: "its recorder does not wait any more".to_owned(),
                };
                let id = op.clone();
                let cancelled = handle.ask(|reply| Command::Cancel(id, by, reply)).await;
                // Without a quorum it is tried again.
                told = !matches!(&cancelled, Err(why) if why.refusal == Refusal::NoQuorum);
                if let (Err(why), false) = (cancelled, warned) {
                    warned = true;
                    warn!(request = %name, %why, "a request that nobody waits for goes on");
                }
            }
            Err(_) => {}
        }
    }
}

async fn cancelled(store: &Arc<Store>, name: &FileName) -> bool {
    let (store, name) = (Arc::clone(store), name.clone());
    blocking(move || store.is_cancelled(&name)).await == Some(true)
}

/// What is answered when an operation has ended.
pub(super) fn outcome(name: &FileName, request: &Request, op: &Operation) -> Response {
    let Phase::Ended(end) = &op.phase else {
        return refusal(name, &request.action, "the operation has not ended");
    };
    // A request that carries the number of something else is not answered by it.
    if op.target != Target::Node(name.node().clone()) {
        let why = format!("its number is that of an operation on {}", op.target);
        return refusal(name, &request.action, &why);
    }
    let said = match end.outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Confirmed => "confirmed",
        Outcome::Failed => "failed",
        Outcome::Indeterminate => "indeterminate",
        Outcome::Refused(_) => "refused",
        Outcome::Cancelled => "cancelled",
        Outcome::Expired => "expired",
    };
    let message = format!("{said}: {}", end.detail);
    Response {
        success: end.outcome.is_success() && request.is_done_by(op.action.as_str()),
        // Not always what was asked for: a loop breaker makes an off of a reboot.
        ..refusal(name, op.action.as_str(), &message)
    }
}

/// What is known of the nodes, for those who only look.
pub(super) fn nodes(view: &FenceView) -> BTreeMap<NodeName, NodePower> {
    let mut nodes = BTreeMap::new();
    for (name, peer) in &view.peers {
        let power = match peer.session {
            Some(_) => NodePower::On,
            None => NodePower::Unknown,
        };
        nodes.insert(name.clone(), power);
    }
    for (name, node) in &view.nodes {
        let power = nodes.entry(name.clone()).or_insert(NodePower::Unknown);
        match &node.value.fenced {
            Some(fenced) if fenced.action == Action::Off => *power = NodePower::Off,
            // Switched off and perhaps on again; it has not said so yet.
            Some(_) => *power = NodePower::Unknown,
            None => {}
        }
    }
    nodes
}

pub(super) fn publish_nodes(
    store: &Store,
    nodes: BTreeMap<NodeName, NodePower>,
) -> std::io::Result<()> {
    // An empty list would say that nothing can be fenced; nothing has been read yet.
    if nodes.is_empty() {
        return Ok(());
    }
    let bytes = serde_json::to_vec_pretty(&NodesFile::new(nodes)).map_err(std::io::Error::other)?;
    let temporary = format!("{NODES_FILE}.tmp");
    store.responses.publish(&temporary, NODES_FILE, &bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests;
