//! Gates, and what operators change.

use hax::fence::model::{Action, Outcome, Phase, Refusal, Source, UnixMillis};
use serde_json::{Value, json};

use super::kept::Kept;
use super::loss::Stage;
use super::{Shape, Trio, operation};
use crate::harness::eventually;

#[tokio::test]
async fn gates_keep_what_an_operator_can_let_go_on() {
    let quick = "off_timeout = '4s', reboot_timeout = '4s', retries = 1";
    let shape = Shape::of([("pdu", quick)])
        .with("fence.storm_targets", "2")
        .with("fence.loop_count", "2");
    let trio = Trio::start(&Shape {
        proxied: true,
        ..shape
    })
    .await;
    unreadable(&trio).await;
    inhibited(&trio).await;
    inhibited_meanwhile(&trio).await;
    expired(&trio).await;
    confirmed(&trio).await;
    cancelled(&trio).await;
    quarantined(&trio).await;
    storm(&trio).await;
    trio.agents.no_overlap();
}

async fn outcome(trio: &Trio, by: usize, target: &str, action: Action) -> Outcome {
    let op = trio.run(by, target, action).await;
    op.ended().unwrap().outcome
}

/// Records that nobody can read stop nothing but what they may be about.
async fn unreadable(trio: &Trio) {
    let kv = trio.client(0).kv();
    for target in ["broken", "loop"] {
        trio.add_target(target).await;
    }
    let op = "fence/ops/0190a8e6-0000-7000-8000-000000000000";
    for key in [
        op,
        "fence/guard",
        "fence/peers/broken",
        "fence/nodes/broken",
    ] {
        kv.put(key, "{").await.unwrap();
    }
    let refused = Outcome::Refused(Refusal::Busy);
    assert_eq!(outcome(trio, 0, "broken", Action::Off).await, refused);
    assert_eq!(
        outcome(trio, 1, "loop", Action::On).await,
        Outcome::Succeeded
    );
    assert!(trio.agents.starts("broken").is_empty());
}

/// In the middle of a run: it is not followed by another.
async fn cancelled(trio: &Trio) {
    trio.agents.behave("pdu.off.once", 2, 1.0);
    let before = trio.agents.starts("loop").len();
    let id = trio.ask(0, "loop", Action::Off).await;
    trio.wait_start("loop", before).await;
    let (status, answer) = trio.post(1, &format!("ops/{id}/cancel"), json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let op = trio.ended(0, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Cancelled, "{op:#?}");
    assert_eq!(trio.agents.starts("loop").len(), before + 1);
    assert_eq!(trio.agents.ends("loop").len(), before + 1);
}

async fn inhibited(trio: &Trio) {
    trio.add_target("kept").await;
    let by = json!({ "who": "a test", "reason": "maintenance", "for_ms": 600_000 });
    let put = reqwest::Method::PUT;
    for path in ["inhibit", "inhibit/kept"] {
        let (status, answer) = trio.send(0, put.clone(), path, &by).await;
        assert_eq!(status, 200, "{answer}");
        let refused = Outcome::Refused(Refusal::Inhibited);
        assert_eq!(outcome(trio, 1, "kept", Action::Off).await, refused);
        let by = json!({ "who": "a test", "reason": "done" });
        let (status, answer) = trio.send(2, reqwest::Method::DELETE, path, &by).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert!(trio.agents.starts("kept").is_empty());
}

/// An inhibit that comes when the gates have been passed, and before the operation is active.
async fn inhibited_meanwhile(trio: &Trio) {
    for (target, path) in [("raced", "inhibit/raced"), ("raced-too", "inhibit")] {
        trio.add_target(target).await;
        let activate = Kept::await_of(trio, 0, target, Stage::Activate);
        let id = trio.ask(0, target, Action::Off).await;
        activate.sent(trio).await;
        let by = json!({ "who": "a test", "reason": "maintenance", "for_ms": 600_000 });
        let (status, answer) = trio.send(1, reqwest::Method::PUT, path, &by).await;
        assert_eq!(status, 200, "{answer}");
        activate.comes_too_late(trio).await;
        let op = trio.ended(0, &id).await;
        let refused = Outcome::Refused(Refusal::Inhibited);
        assert_eq!(op.ended().unwrap().outcome, refused, "{op:#?}");
        assert!(trio.agents.starts(target).is_empty());
        let by = json!({ "who": "a test", "reason": "done" });
        let (status, answer) = trio.send(1, reqwest::Method::DELETE, path, &by).await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// Nobody has looked at it in time, so it never fires.
async fn expired(trio: &Trio) {
    trio.add_target("old").await;
    let mut op = operation(trio.name(0), "old", Action::Off);
    op.origin.at = UnixMillis(op.origin.at.0 - 3_600_000);
    trio.place(0, &op).await;
    let op = trio.ended(0, &op.id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Expired);
    assert!(trio.agents.starts("old").is_empty());
}

async fn confirmed(trio: &Trio) {
    trio.add_target("dead").await;
    let (status, answer) = trio.post(1, "nodes/dead/confirm", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let view = trio.view(0).await.unwrap();
    let node = &view.nodes[&"dead".parse().unwrap()].value;
    assert_eq!(node.epoch, 1);
    assert_eq!(json!(node.fenced.as_ref().unwrap().op), answer["op"]);
    assert!(trio.agents.starts("dead").is_empty());
    // Nobody vouches for what nobody knows.
    for command in ["confirm", "release"] {
        let (status, answer) = trio
            .post(1, &format!("nodes/nobody/{command}"), json!({}))
            .await;
        assert_eq!(
            (status, answer["error"].as_str()),
            (404, Some("unknown-target"))
        );
    }
}

async fn quarantined(trio: &Trio) {
    for action in ["reboot", "off"] {
        assert_eq!(
            outcome(trio, 0, "loop", Action::Reboot).await,
            Outcome::Succeeded
        );
        assert_eq!(trio.agents.starts("loop").last().unwrap().action, action);
    }
    let node = async || {
        trio.view(0)
            .await?
            .nodes
            .get(&"loop".parse().unwrap())
            .cloned()
    };
    let record = node().await.unwrap().value;
    assert!(record.quarantined.is_some());
    assert_eq!(record.epoch, 2);
    let (status, answer) = trio.post(2, "nodes/loop/release", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let record = node().await.unwrap().value;
    assert_eq!(
        (record.quarantined, record.fenced, record.epoch),
        (None, None, 2)
    );
    // Who did so, and why, is in the history.
    let view = trio.view(0).await.unwrap();
    let ops = view.ops.values().map(|stored| &stored.value);
    let mut of_node = ops.filter(|op| op.target.to_string() == "loop" && op.action == Action::On);
    let op = of_node.next_back().unwrap();
    let end = op.ended().unwrap();
    assert_eq!(end.outcome, Outcome::Confirmed);
    assert_eq!(
        end.detail,
        format!("{}: {}", op.origin.who, op.origin.reason)
    );
    assert_eq!(op.origin.source, Source::Operator);
    assert!(!view.active.contains_key(&op.target));
}

/// Ten targets at once, of which one more is let through: `loop` is counted already.
async fn storm(trio: &Trio) {
    let mut ops = Vec::new();
    for number in 0..10 {
        let target = format!("storm{number}");
        trio.add_target(&target).await;
        ops.push(trio.ask(number % 3, &target, Action::Off).await);
    }
    let phases = async || {
        let view = trio.view(0).await?;
        let phase = |op| view.ops.get(op).map(|op| op.value.phase.clone());
        ops.iter().map(phase).collect::<Option<Vec<_>>>()
    };
    let settled = eventually("one to be done, and nine held", async || {
        let phases = phases().await?;
        let held = phases
            .iter()
            .filter(|phase| matches!(phase, Phase::Held { .. }));
        let done = phases
            .iter()
            .filter(|phase| matches!(phase, Phase::Ended(_)));
        ((held.count(), done.count()) == (9, 1)).then_some(phases)
    })
    .await;
    let mut held = (0..10).filter(|n| matches!(settled[*n], Phase::Held { .. }));
    let mut next = || held.next().unwrap();
    let (passed, cancelled, vouched) = (next(), next(), next());
    for (path, by) in [
        (format!("ops/{}/override", ops[passed]), 0),
        (format!("ops/{}/cancel", ops[cancelled]), 1),
        (format!("nodes/storm{vouched}/confirm"), 2),
    ] {
        let (status, answer) = trio
            .post(by, &path, Value::Object(Default::default()))
            .await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    for (number, outcome) in [
        (passed, Outcome::Succeeded),
        (cancelled, Outcome::Cancelled),
        (vouched, Outcome::Confirmed),
    ] {
        let op = trio.ended(0, &ops[number]).await;
        assert_eq!(op.ended().unwrap().outcome, outcome, "{op:#?}");
    }
    let starts = trio.agents.lines().into_iter();
    let starts = starts.filter(|line| line.what == "start" && line.target.starts_with("storm"));
    assert_eq!(starts.count(), 2);
}
