//! The history: ended operations are kept for a time (`rfc/12-fencing.md`, "Stored data").

use std::time::Duration;

use consul_client::{Index, TxnOp};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::context::{Context, millis, now};
use crate::config::fence::FenceConfig;
use crate::fence::FenceView;
use crate::fence::model::{NodeName, OpId, UnixMillis, keys};

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(10);

/// Records that one round removes at most.
const ROUND_MAX: usize = 32;

/// Removes what is too old, while this node is the first live peer by name.
pub(super) async fn prune(context: Context, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let view = context.view();
        if !is_first(&view, &context.me) {
            continue;
        }
        let ops: Vec<_> = excess(&context.config, &view, now())
            .into_iter()
            .map(|(id, index)| TxnOp::delete_cas(keys::op(&id), index))
            .collect();
        if ops.is_empty() {
            continue;
        }
        match context.commit(&ops).await {
            Ok(()) => info!(
                count = ops.len(),
                "old operations are removed from the history"
            ),
            Err(error) => debug!(%error, "old operations are not removed yet"),
        }
    }
}

fn is_first(view: &FenceView, me: &NodeName) -> bool {
    let mut alive = view.peers.iter().filter(|(_, peer)| peer.session.is_some());
    alive.next().is_some_and(|(first, _)| first == me)
}

/// The ended operations that are too old or too many, the oldest first.
fn excess(config: &FenceConfig, view: &FenceView, at: UnixMillis) -> Vec<(OpId, Index)> {
    let ended = view.ops.iter().filter_map(|(id, op)| {
        let end = op.value.ended()?;
        Some((end.at, id, op.index))
    });
    let mut ended: Vec<_> = ended.collect();
    ended.sort_unstable_by_key(|(at, ..)| *at);
    let too_many = ended.len().saturating_sub(config.history_max as usize);
    let age = millis(config.history_age);
    let old = ended.into_iter().enumerate();
    let old = old.filter(|(n, (end, ..))| *n < too_many || at.0.saturating_sub(end.0) > age);
    old.take(ROUND_MAX)
        .map(|(_, (_, id, index))| (id.clone(), index))
        .collect()
}
