//! Nodes and Consul servers that go.

use hax::fence::model::{Action, Outcome};
use serde_json::json;

use super::{Shape, Trio};
use crate::harness::eventually;

/// A node is lost, and fenced by one of those that are left; then the majority is lost, and nobody does
/// anything.
#[tokio::test]
async fn a_dead_node_is_fenced_once_and_a_minority_fences_nobody() {
    let mut trio = Trio::start(&Shape::simple()).await;
    let target = trio.name(2).to_owned();
    trio.bridges[2].kill();
    trio.nodes[2].consul.kill();
    // Its server may have been the leader.
    eventually("a leader", async || trio.view(0).await).await;
    let op = eventually("the request to be taken", async || {
        let body = json!({ "target": target, "action": "off", "tolerance_ms": 60_000 });
        let (status, answer) = trio.post(0, "run", body).await;
        (status == 202).then(|| answer["op"].as_str().unwrap().parse().unwrap())
    })
    .await;
    let op = trio.ended(0, &op).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    let starts = trio.agents.starts(&target);
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_ne!(starts[0].peer, target);

    let other = trio.name(1).to_owned();
    trio.nodes[1].consul.freeze();
    let (status, answer) = trio
        .post(0, "run", json!({ "target": other, "action": "off" }))
        .await;
    assert_eq!(
        (status, &answer["error"]),
        (503, &json!("no-quorum")),
        "{answer}"
    );
    assert!(trio.agents.starts(&other).is_empty());
    trio.nodes[1].consul.thaw();
    trio.agents.no_overlap();
}

/// The leader goes in the middle of a run, perhaps with the delegate's own server.
#[tokio::test]
async fn an_operation_ends_though_consuls_leader_goes() {
    let mut trio = Trio::start(&Shape::of([("pdu", "off_timeout = '4s', retries = 2")])).await;
    trio.add_target("t").await;
    let leader = trio.client(0).status().leader().await.unwrap();
    let leader = trio
        .nodes
        .iter()
        .position(|node| leader.as_deref() == Some(&*node.consul.rpc()));
    let leader = leader.expect("one of the servers leads");
    let by = (leader + 1) % 3;
    trio.agents.behave("pdu.off", 0, 2.0);
    let id = trio.ask(by, "t", Action::Off).await;
    trio.wait_start("t", 0).await;
    trio.nodes[leader].consul.kill();
    let op = trio.ended(by, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert!(!trio.agents.ends("t").is_empty());
    trio.agents.no_overlap();
}
