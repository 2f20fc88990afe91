//! From what is stored under `fence/` to what the bridge tells (`rfc/12-fencing.md`, "Fenced, and
//! back").

use std::collections::HashMap;
use std::sync::Arc;

use halink::Fid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::FenceView;
use super::model::{NodeName, ProcessRecord};
use crate::bridge::{Confirmed, SharedVerdicts, Verdicts};

/// Keeps the verdicts as the views are, until it is cancelled or the views end: then the last one
/// stays true, for what is confirmed stays so.
pub async fn follow(
    me: NodeName,
    mut views: watch::Receiver<Arc<FenceView>>,
    verdicts: SharedVerdicts,
    cancel: CancellationToken,
) {
    // What is there before the first answer of Consul is empty, and says nothing.
    while let Some(Ok(())) = cancel.run_until_cancelled(views.changed()).await {
        let view = Arc::clone(&views.borrow_and_update());
        let before = verdicts.now();
        if verdicts.update(|verdicts| apply(&me, &view, verdicts)) {
            log(&before, &verdicts.now());
        }
    }
}

/// What a view says. A record that cannot be read keeps what was known of its node: it must not end
/// a fence.
fn apply(me: &NodeName, view: &FenceView, verdicts: &mut Verdicts) {
    let unread = |prefix: &str, name: &str| view.malformed.contains_key(&format!("{prefix}{name}"));
    // Kept until a newer operation is about the process: a view that is behind must not bring back
    // the one that is over, nor may one that was asked for before that one and has ended after it. Clocks
    // that differ can make a newer one count as old: then the process is not declared FAILED by it, but by the
    // record of its death, which is this node's own.
    let by_newer = |process: &Fid, op: &str| {
        let record = view.processes.get(process);
        record.is_some_and(|record| record.value.op.as_str() > op)
    };
    verdicts.over.retain(|process, op| !by_newer(process, op));
    let over = &verdicts.over;
    let confirmed = view.processes.iter();
    let confirmed = confirmed.filter(|(process, _)| !over.contains_key(*process));
    let confirmed = confirmed.map(|(process, record)| {
        let ProcessRecord { op, word } = &record.value;
        let (op, word) = (op.to_string(), *word);
        (*process, Confirmed { word, op })
    });
    let confirmed: HashMap<_, _> = confirmed.collect();
    let fenced = view
        .nodes
        .iter()
        .filter(|(_, node)| node.value.fenced.is_some());
    let kept = verdicts
        .fenced
        .iter()
        .filter(|node| unread("fence/nodes/", node));
    let fenced = fenced
        .map(|(node, _)| node.as_str())
        .chain(kept.map(String::as_str));
    verdicts.fenced = fenced.map(str::to_owned).collect();
    verdicts.confirmed = confirmed;
    let own = me.as_str();
    verdicts.own_fenced = verdicts.fenced.contains(own) || unread("fence/nodes/", own);
    verdicts.known = true;
}

fn log(before: &Verdicts, after: &Verdicts) {
    for node in after.fenced.difference(&before.fenced) {
        warn!(node, "the node is fenced: its processes are FAILED");
    }
    for node in before.fenced.difference(&after.fenced) {
        info!(node, "the node is not fenced any more");
    }
    for (process, confirmed) in &after.confirmed {
        if before.confirmed.get(process) != Some(confirmed) {
            let word = confirmed.word;
            warn!(%process, word, "the process is confirmed to write nothing");
        }
    }
    match (before.closed(), after.closed()) {
        (was, Some(why)) if was != Some(why) => warn!(why, "no process of this node may start"),
        (Some(_), None) => info!("processes of this node may start"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul_client::{Index, KvPair};
    use serde_json::json;

    fn pair(key: &str, value: serde_json::Value) -> KvPair {
        pair_of(key, value.to_string())
    }

    fn pair_of(key: &str, value: String) -> KvPair {
        KvPair {
            key: key.to_owned(),
            value: value.into_bytes(),
            flags: 0,
            lock_index: 0,
            session: None,
            create_index: Index(1),
            modify_index: Index(7),
        }
    }

    fn fenced(node: &str) -> KvPair {
        let fenced = json!({ "op": uuid::Uuid::now_v7().to_string(), "action": "off", "at": 1 });
        let key = format!("fence/nodes/{node}");
        pair(&key, json!({ "epoch": 1, "fenced": fenced }))
    }

    fn on() -> Verdicts {
        Verdicts {
            enabled: true,
            ..Verdicts::default()
        }
    }

    #[test]
    fn a_view_makes_verdicts() {
        let me: NodeName = "a".parse().unwrap();
        let mut verdicts = on();
        assert!(verdicts.closed().is_some());
        let process = "0x7200000000000001:0x2";
        let earlier = uuid::Uuid::now_v7().to_string();
        let confirmed = pair(
            &format!("fence/processes/{process}"),
            json!({ "op": uuid::Uuid::now_v7().to_string(), "word": 42 }),
        );
        let released = pair("fence/nodes/a", json!({ "epoch": 3 }));
        let view = FenceView::parse(&[fenced("b"), released, confirmed]);
        assert!(view.malformed.is_empty(), "{:?}", view.malformed);
        apply(&me, &view, &mut verdicts);
        let process: Fid = process.parse().unwrap();
        let confirmed = verdicts.confirmed.get(&process).cloned().unwrap();
        assert_eq!(confirmed.word, 42);
        assert_eq!(Vec::from_iter(&verdicts.fenced), ["b"]);
        // It has been started anew, and the record is still there.
        verdicts.over.insert(process, confirmed.op.clone());
        apply(&me, &view, &mut verdicts);
        assert!(verdicts.confirmed.is_empty());
        // An operation that was asked for before the one that is over ends after it.
        let late = json!({ "op": earlier, "word": 42 });
        let late = pair(&format!("fence/processes/{process}"), late);
        apply(&me, &FenceView::parse(&[late]), &mut verdicts);
        assert!(verdicts.confirmed.is_empty());
        let next = json!({ "op": uuid::Uuid::now_v7().to_string(), "word": 43 });
        let next = pair(&format!("fence/processes/{process}"), next);
        apply(&me, &FenceView::parse(&[next]), &mut verdicts);
        assert_eq!(verdicts.confirmed[&process].word, 43);
        assert_eq!(verdicts.closed(), None);
        apply(&me, &FenceView::parse(&[fenced("a")]), &mut verdicts);
        assert!(verdicts.own_fenced && verdicts.closed().is_some());
    }

    #[test]
    fn a_record_that_cannot_be_read_ends_no_fence() {
        let me: NodeName = "a".parse().unwrap();
        let mut verdicts = on();
        apply(&me, &FenceView::parse(&[fenced("b")]), &mut verdicts);
        let unread = ["a", "b", "c"].map(|node| {
            let key = format!("fence/nodes/{node}");
            pair_of(&key, "{".to_owned())
        });
        apply(&me, &FenceView::parse(&unread), &mut verdicts);
        assert!(verdicts.fenced.contains("b") && !verdicts.fenced.contains("c"));
        assert!(verdicts.own_fenced);
    }
}
