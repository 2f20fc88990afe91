//! One Motr process fails, its node does not.

use consul_client::CheckStatus;
use halink::HaState::{Failed, Online, Transient};
use rustix::process::Signal;
use serde_json::json;

use super::QUICK;
use super::motr::{Field, delegates, ear, ios, own, shape, succeeded};
use crate::harness::{eventually, process};

const ALL: [usize; 3] = [0, 1, 2];

#[tokio::test]
async fn a_failed_process_is_failed_for_all_once_it_is_confirmed_and_its_node_is_left_alone() {
    let mut field = Field::start(&shape(&[("pdu", QUICK)])).await;
    killed(&mut field).await;
    hung(&mut field).await;
    isolated(&mut field).await;
    field.no_agent_ran();
    in_kernel(&mut field).await;
}

/// Its check is critical before the hax of its node can say that it has ended.
async fn killed(field: &mut Field) {
    let (node, key) = (1, ios(1));
    let victim = field.ios(node).await;
    field.forget().await;
    field.bridge(node).signal(Signal::STOP);
    victim.kill();
    field.trio.nodes[node]
        .set_check(key, CheckStatus::Critical)
        .await;
    field.post_health(&[0, 2]).await;
    field.all_told(&[0, 2], key, Transient).await;
    field.bridge(node).signal(Signal::CONT);
    field.all_told(&ALL, key, Failed).await;
    field.confirmed(0, &field.target(node), 0).await;
    field.assert_states(&[0, 2], key, &[Transient, Failed]);
    field.assert_states(&[node], key, &[Failed]);
    field.no_agent_ran();
}

/// It lives and does nothing: it is killed by the hax of its node.
async fn hung(field: &mut Field) {
    let (node, key) = (0, ios(0));
    let mut victim = field.ios(node).await;
    field.forget().await;
    victim.signal(Signal::STOP);
    field.trio.nodes[node]
        .set_check(key, CheckStatus::Critical)
        .await;
    field.post_health(&ALL).await;
    field.all_told(&ALL, key, Failed).await;
    assert!(victim.has_ended());
    field.assert_states(&ALL, key, &[Transient, Failed]);
    let op = field.fenced(1, &field.target(node)).await;
    succeeded(&op);
    assert_eq!(delegates(&op), [field.trio.name(node)]);
    field.no_agent_ran();
    // Its next life is another.
    let _reborn = field.ios(node).await;
    field.assert_states(&ALL, key, &[Transient, Failed, Online]);
}

/// It has told of an I/O error, and may write what is wrong.
async fn isolated(field: &mut Field) {
    let (node, key) = (2, ios(2));
    let mut victim = field.ios(node).await;
    field.forget().await;
    victim.say("be-io-err");
    eventually("the process to be killed", async || {
        victim.has_ended().then_some(())
    })
    .await;
    field.all_told(&ALL, key, Failed).await;
    let op = field.fenced(0, &field.target(node)).await;
    succeeded(&op);
    assert_eq!(op.target.to_string(), field.target(node));
    let stored = field.trio.nodes[0].stored(key).await.unwrap();
    assert!(!stored.contains("STOPPED"), "{stored}");
    field.assert_states(&[0, 1], key, &[Failed]);
    field.no_agent_ran();
}

/// Nothing but the end of its node ends it, though the hax of the node lives: that one has no part in it.
async fn in_kernel(field: &mut Field) {
    // By name it would be the first to be asked.
    let (node, key) = (0, own(0) + 1);
    field.forget().await;
    let word =
        json!({ "state": "M0_CONF_HA_PROCESS_STARTED", "type": "M0_CONF_HA_PROCESS_KERNEL" });
    let cluster = &field.trio.nodes[node];
    cluster
        .put(&format!("processes/{}", process(key)), &word.to_string())
        .await;
    cluster.set_check(key, CheckStatus::Critical).await;
    let target = field.trio.name(node).to_owned();
    let op = field.confirmed(1, &target, 0).await;
    succeeded(&op);
    let starts = field.trio.agents.starts(&target);
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_ne!(starts[0].peer, target);
    for key in [key, ear(node)] {
        field.all_told(&[1, 2], key, Failed).await;
    }
}
