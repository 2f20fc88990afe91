use std::path::Path;
use std::sync::Arc;

use consul_client::Index;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fence::model::{Inhibit, NodeRecord};
use crate::fence::{FenceView, Stored};

fn view(ops: &[&Operation]) -> FenceView {
    let stored = |op: &&Operation| {
        let value = (*op).clone();
        let index = Index(1);
        (op.id.clone(), Stored { value, index })
    };
    FenceView {
        ops: ops.iter().map(stored).collect(),
        ..FenceView::default()
    }
}

/// The kinds of events by which a node tells of a step.
fn kinds(before: &FenceView, now: &FenceView, me: &str) -> Vec<String> {
    let events = diff(before, now, &node(me));
    let kind = |event| {
        serde_json::to_value(event).unwrap()["event"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    events.iter().map(kind).collect()
}

#[test]
fn every_node_tells_what_it_did_and_every_end() {
    let op = operation();
    let running = AttemptState::Running {
        session: "s".to_owned(),
        since: UnixMillis(7),
    };
    let steps = [
        FenceView::default(),
        view(&[&op]),
        view(&[&attempted(&op, AttemptState::Delegated)]),
        view(&[&attempted(&op, running)]),
        view(&[&attempted(&op, success())]),
        view(&[&ended(&op)]),
    ];
    let told = |me: &str| -> Vec<String> {
        let pairs = steps.windows(2);
        pairs
            .map(|pair| kinds(&pair[0], &pair[1], me).join(" "))
            .collect()
    };
    assert_eq!(
        told("ssu1"),
        [
            "requested",
            "activated delegated",
            "",
            "attempt-ended",
            "ended"
        ]
    );
    assert_eq!(told("ssu2"), ["", "", "running", "attempt-ended", "ended"]);
    assert_eq!(told("ssu3"), ["", "", "", "", "ended"]);
    // Seen only at its end.
    let all = kinds(&steps[0], &steps[5], "ssu1").join(" ");
    assert_eq!(all, "requested activated delegated attempt-ended ended");
    for step in &steps {
        assert_eq!(diff(step, step, &node("ssu1")), []);
        // History that is deleted is no event.
        assert_eq!(diff(step, &FenceView::default(), &node("ssu1")), []);
    }
}

#[test]
fn who_else_asked_and_what_held_it_is_told() {
    let op = operation();
    let mut held = op.clone();
    held.phase = Phase::Held {
        reason: "a storm".to_owned(),
        since: UnixMillis(1),
    };
    held.joined = vec![origin("ssu2"), origin("ssu1")];
    let (before, held_view) = (view(&[&op]), view(&[&held]));
    assert_eq!(kinds(&before, &held_view, "ssu1"), ["joined", "held"]);
    assert_eq!(kinds(&before, &held_view, "ssu2"), ["joined"]);
    let mut passed = held;
    passed.options.overridden = Some("root: it burns".to_owned());
    for me in ["ssu1", "ssu2", "ssu3"] {
        assert_eq!(kinds(&held_view, &view(&[&passed]), me), ["overridden"]);
    }
}

#[test]
fn nodes_and_inhibits_are_told_by_all() {
    let mut fenced = FenceView::default();
    let value = NodeRecord {
        epoch: 1,
        quarantined: Some("thrice".to_owned()),
        ..NodeRecord::default()
    };
    let stored = Stored {
        value,
        index: Index(3),
    };
    fenced.nodes.insert(node("ssu2"), stored.clone());
    let mut inhibited = fenced.clone();
    let value = Inhibit {
        until: UnixMillis(9),
        who: "root".to_owned(),
        reason: "new fans".to_owned(),
    };
    let inhibit = Stored {
        value,
        index: Index(4),
    };
    inhibited.inhibits.insert("*".to_owned(), inhibit);
    let nothing = FenceView::default();
    assert_eq!(kinds(&nothing, &fenced, "ssu1"), ["node"]);
    assert_eq!(kinds(&fenced, &inhibited, "ssu1"), ["inhibited"]);
    assert_eq!(kinds(&inhibited, &fenced, "ssu1"), ["uninhibited"]);
    let mut released = fenced.clone();
    released
        .nodes
        .get_mut(&node("ssu2"))
        .unwrap()
        .value
        .quarantined = None;
    assert_eq!(kinds(&fenced, &released, "ssu1"), ["node"]);
    // Written again as it was.
    let mut again = fenced.clone();
    again.nodes.get_mut(&node("ssu2")).unwrap().index = Index(8);
    assert_eq!(kinds(&fenced, &again, "ssu1"), [""; 0]);
}

/// A task that follows views that the test makes.
struct Scene {
    views: watch::Sender<Arc<FenceView>>,
    link: AuditLink,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn start(path: &Path) -> Self {
        let (views, receiver) = watch::channel(Arc::default());
        let opened = Audit::open(path, node("ssu1"), Bounds::default()).await;
        let (audit, link) = opened.unwrap();
        let cancel = CancellationToken::new();
        let task = tokio::spawn(follow(receiver, audit, cancel.clone()));
        Self {
            views,
            link,
            cancel,
            task,
        }
    }

    /// Ends the task; the kinds of events that are in the file.
    async fn end(self, path: &Path) -> Vec<String> {
        self.cancel.cancel();
        self.task.await.unwrap();
        let bytes = std::fs::read(path).unwrap();
        let mut chain = Chain::default();
        chain.take_file(&bytes).unwrap();
        let head = self.link.head();
        assert_eq!(chain.last, Some((head.seq, head.hash)));
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let kind = |line| {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            line["event"].as_str().unwrap().to_owned()
        };
        lines.map(kind).collect()
    }
}

#[tokio::test]
async fn nothing_is_recorded_twice_and_nothing_is_missing_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let op = operation();
    let scene = Scene::start(&path).await;
    scene.views.send_replace(Arc::new(view(&[&op])));
    assert_eq!(scene.end(&path).await, ["opened", "requested"]);
    // While it was away, the operation has ended. The first view may be empty, before Consul is asked.
    let scene = Scene::start(&path).await;
    let away = "activated delegated attempt-ended ended";
    let expected = format!("opened requested opened {away}");
    scene.views.send_replace(Arc::new(view(&[&ended(&op)])));
    assert_eq!(scene.end(&path).await.join(" "), expected);
    let scene = Scene::start(&path).await;
    scene.views.send_replace(Arc::new(view(&[&ended(&op)])));
    assert_eq!(scene.end(&path).await.join(" "), expected + " opened");
}

#[tokio::test]
async fn what_operators_ask_is_written_though_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let scene = Scene::start(&path).await;
    scene.link.note(event(1));
    let scene = Scene {
        // The coordinator has ended.
        views: watch::channel(Arc::default()).0,
        ..scene
    };
    scene.link.note(event(2));
    let kinds = loop {
        if scene.link.head().seq == 3 {
            break scene.end(&path).await;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(kinds, ["opened", "uninhibited", "uninhibited"]);
}
