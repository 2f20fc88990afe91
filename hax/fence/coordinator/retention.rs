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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::{Stored, sample};
    use serde_json::json;

    /// Three operations that have ended are kept, none for longer than an hour.
    fn config() -> FenceConfig {
        let mut config = sample::config("history_max = 10\nhistory_age = \"1h\"");
        config.history_max = 3;
        config
    }

    /// An operation with this number; none: it has not ended.
    fn add(view: &mut FenceView, number: u8, ended: Option<u64>) -> OpId {
        let id = format!("0190a8e6-0000-7000-8000-0000000000{number:02x}");
        let phase = match ended {
            Some(at) => json!({ "phase": "ended", "outcome": "failed", "detail": "", "at": at }),
            None => json!({ "phase": "held", "reason": "", "since": 0 }),
        };
        let op = json!({
            "id": id, "target": "t", "action": "off", "driver": "n1", "phase": phase,
            "origin": { "node": "n1", "source": "operator", "who": "", "reason": "", "at": 0 },
            "options": { "expire_ms": 1 },
        });
        let id: OpId = id.parse().unwrap();
        let value = serde_json::from_value(op).unwrap();
        let index = Index(u64::from(number));
        view.ops.insert(id.clone(), Stored { value, index });
        id
    }

    fn removed(view: &FenceView, at: u64) -> Vec<OpId> {
        let excess = excess(&config(), view, UnixMillis(at)).into_iter();
        let known = excess.inspect(|(id, index)| assert_eq!(view.ops[id].index, *index));
        known.map(|(id, _)| id).collect()
    }

    #[test]
    fn the_oldest_go_first_and_what_has_not_ended_stays() {
        let mut view = FenceView::default();
        // Older than all, and there for ever.
        add(&mut view, 0, None);
        let ids: Vec<_> = [50, 20, 40, 10, 30]
            .into_iter()
            .zip(1..)
            .map(|(at, number)| add(&mut view, number, Some(at)))
            .collect();
        assert_eq!(removed(&view, 60), [ids[3].clone(), ids[1].clone()]);
        let hour = 3_600_000;
        assert_eq!(removed(&view, hour + 30).len(), 2);
        assert_eq!(removed(&view, hour + 31).len(), 3);
        let all = [3, 1, 4, 2, 0].map(|n| ids[n].clone());
        assert_eq!(removed(&view, 2 * hour), all);
        // A clock that is behind removes nothing but what is too many.
        assert_eq!(removed(&view, 0), [ids[3].clone(), ids[1].clone()]);
    }

    #[test]
    fn a_round_is_bounded() {
        let mut view = FenceView::default();
        for number in 0..100 {
            add(&mut view, number, Some(u64::from(number)));
        }
        assert_eq!(removed(&view, 100).len(), ROUND_MAX);
    }
}
