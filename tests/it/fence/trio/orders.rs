//! Who does what, in which order, while nothing fails.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use hax::fence::model::{Action, Outcome};
use serde_json::json;

use super::{Line, QUICK, Shape, Trio, unreadable};

/// `pdu`, for many at one time; `single`, for one; `late`, after a second.
fn shape() -> Shape {
    Shape::of([
        (
            "pdu",
            "off_timeout = '4s', on_timeout = '4s', reboot_timeout = '4s', concurrency = 16",
        ),
        ("single", QUICK),
        ("late", "off_timeout = '4s', delay = '1s', retries = 0"),
    ])
    .with(
        "fence.level",
        "[{ pattern = '.*', level = 1, devices = ['pdu'] }]",
    )
}

#[tokio::test]
async fn requests_are_done_once_each_by_a_peer_that_is_not_the_target() {
    let trio = Trio::start(&shape()).await;
    each_action(&trio).await;
    at_once(&trio).await;
    merged_or_after_another(&trio).await;
    one_at_a_time(&trio).await;
    delayed(&trio).await;
    unreadable::ends_and_lets_nobody_in(&trio).await;
    trio.agents.no_overlap();
}

async fn each_action(trio: &Trio) {
    for (number, action) in [(0, Action::Off), (1, Action::On), (2, Action::Reboot)] {
        let target = trio.name(number).to_owned();
        // The target's own hax may be asked, and drives; it does not act.
        let op = trio.run(number, &target, action).await;
        assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
        let starts = trio.agents.starts(&target);
        let [start] = starts.as_slice() else {
            panic!("{starts:?}");
        };
        assert_eq!(start.action, action.as_str());
        assert_ne!(start.peer, target);
        let view = trio.view(0).await.unwrap();
        let node = view.nodes.get(&target.parse().unwrap()).cloned();
        let node = node.unwrap_or_default().value;
        assert_eq!(node.epoch, u64::from(action.fences()));
        let fenced = node
            .fenced
            .map(|fenced| (fenced.op, fenced.boot_id.is_some()));
        assert_eq!(fenced, action.fences().then_some((op.id.clone(), true)));
        assert!(view.active.is_empty(), "{:?}", view.active);
    }
}

/// Two peers are asked for the same at the same time, 100 times: each time there is one run.
async fn at_once(trio: &Trio) {
    const ROUNDS: usize = 100;
    const TOGETHER: usize = 10;
    for first in (0..ROUNDS).step_by(TOGETHER) {
        let rounds = (first..first + TOGETHER).map(async |round| {
            let target = format!("once{round}");
            trio.add_target(&target).await;
            // Who comes when it is done already is answered by that.
            let ask = |by| {
                let more = json!({ "tolerance_ms": 60_000 });
                trio.ask_with(by, (&target, Action::Off), more)
            };
            let ((one, merged), (other, too)) = tokio::join!(ask(round % 3), ask((round + 1) % 3));
            assert_eq!(one, other);
            assert!(merged != too, "one of them is the first");
            let op = trio.ended(0, &one).await;
            assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
        });
        join_all(rounds).await;
    }
    let starts = trio.agents.lines().into_iter();
    let starts = starts.filter(|line| line.what == "start" && line.target.starts_with("once"));
    let targets: Vec<_> = starts.map(|line| line.target).collect();
    assert_eq!(targets.len(), ROUNDS);
    assert_eq!(BTreeSet::from_iter(targets).len(), ROUNDS);
}

async fn merged_or_after_another(trio: &Trio) {
    trio.add_target("busy").await;
    trio.agents.behave("pdu.off", 0, 1.0);
    let off = trio.ask(0, "busy", Action::Off).await;
    trio.wait_start("busy", 0).await;
    let (joined, merged) = trio.ask_with(1, ("busy", Action::Off), json!({})).await;
    assert_eq!((&joined, merged), (&off, true));
    let (again, merged) = trio.ask_with(2, ("busy", Action::Off), json!({})).await;
    assert_eq!((&again, merged), (&off, true));
    // Nobody is told that it was taken before the other one has ended.
    let (on, merged) = trio.ask_with(2, ("busy", Action::On), json!({})).await;
    assert!(on != off && !merged);
    let op = trio.ended(0, &off).await;
    let joined = op.joined.iter().map(|origin| origin.node.as_str());
    assert_eq!(joined.collect::<Vec<_>>(), [trio.name(1), trio.name(2)]);
    trio.ended(0, &on).await;
    let (starts, ends) = (trio.agents.starts("busy"), trio.agents.ends("busy"));
    let actions: Vec<_> = starts.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["off", "on"]);
    assert!(ends[0].at <= starts[1].at);
    // A success counts within the tolerance, until something else is done to the target.
    let tolerant = json!({ "tolerance_ms": 600_000 });
    let (same, merged) = trio
        .ask_with(0, ("busy", Action::On), tolerant.clone())
        .await;
    assert_eq!((same, merged), (on, true));
    let (again, merged) = trio.ask_with(0, ("busy", Action::Off), tolerant).await;
    assert!(again != off && !merged);
    trio.ended(0, &again).await;
    assert_eq!(trio.agents.starts("busy").len(), 3);
    // Through another device it is not the same.
    let off = trio.ask(0, "busy", Action::Off).await;
    trio.wait_start("busy", 3).await;
    let single = json!({ "device": "single" });
    let (other, merged) = trio.ask_with(1, ("busy", Action::Off), single).await;
    assert!(other != off && !merged);
    let op = trio.ended(0, &other).await;
    assert!(op.joined.is_empty());
    let starts = trio.agents.starts("busy");
    assert_eq!(starts[4].device, "single");
    assert!(trio.agents.ends("busy")[3].at <= starts[4].at);
    trio.agents.behave("pdu.off", 0, 0.0);
}

/// A device for one user is used by one at a time, whoever uses it.
async fn one_at_a_time(trio: &Trio) {
    trio.agents.behave("single.off", 0, 0.4);
    trio.add_target("queue").await;
    // A node does not fence itself, so not all of them are fenced by the same one.
    let ops = (0..4).map(async |number: usize| {
        let nodes = trio.nodes.get(number);
        let target = nodes.map_or("queue", |node| &node.node).to_owned();
        let more = json!({ "device": "single" });
        let asked = trio
            .ask_with(number % 3, (&target, Action::Off), more)
            .await;
        let op = trio.ended(0, &asked.0).await;
        assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    });
    join_all(ops).await;
    let mut peers = Vec::new();
    let mut busy: Option<Line> = None;
    for line in trio.agents.lines() {
        if line.device != "single" {
            continue;
        }
        if line.what == "start" {
            assert_eq!(busy, None, "{line:?}");
            peers.push(line.peer.clone());
            busy = Some(line);
        } else {
            busy = None;
        }
    }
    // And once for a target before.
    assert_eq!(peers.len(), 5);
    assert!(BTreeSet::from_iter(peers).len() > 1);
}

async fn delayed(trio: &Trio) {
    trio.add_target("later").await;
    let more = json!({ "device": "late", "delay_ms": 500 });
    let (id, _) = trio.ask_with(0, ("later", Action::Off), more).await;
    let op = trio.ended(0, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    let starts = trio.agents.starts("later");
    let asked = u128::from(op.origin.at.0) * 1_000_000;
    assert!(starts[0].at >= asked + 1_500_000_000, "{starts:?}");
}
