//! What Motr processes report of others sets a fence off, where enough nodes do and a policy asks for it.

use consul_client::{Checks, NewSession, SessionId};
use halink::{Fid, HaState};
use hax::sim::client::SimProcess;
use hax::sim::wire::{Body, Note};
use serde_json::{Value, json};

use super::bridge::{can_kill, fencing, start};
use crate::death::{Local, survivor};
use crate::harness::{Cluster, Settings, eventually, process, service, soon};

/// Policies that count reports, those of two nodes at least.
fn counting(action: &str) -> Settings {
    let policy = format!("[{{ name = 'test', on = ['motr'], after = '0s', action = '{action}' }}]");
    fencing("none").with("fence.policy", policy)
}

/// A process says of a service what it does when its RPC is not answered, or is again.
async fn rpc(sim: &SimProcess, of: Fid, state: HaState) {
    let state = u64::from(state.raw());
    let body = Body::Rpc { attempts: 1, state };
    let delivery = sim.send(sim.draft(of, body)).await.unwrap();
    soon("a report to be delivered", delivery.wait())
        .await
        .unwrap();
}

async fn set(sim: &SimProcess, object: Fid, state: HaState) {
    let state = state.raw();
    let delivery = sim.nvec_set(vec![Note { object, state }]).await.unwrap();
    soon("a report to be delivered", delivery.wait())
        .await
        .unwrap();
}

/// What this node has published, by process.
async fn published(cluster: &Cluster) -> Vec<String> {
    let key = format!("fence/reports/{}", cluster.node);
    let Some(pair) = cluster.get(&key).await else {
        return Vec::new();
    };
    let record: Value = pair.json().unwrap();
    let words = record["words"].as_object().unwrap();
    words.keys().cloned().collect()
}

async fn until_published(cluster: &Cluster, processes: &[u64]) {
    let mut expected: Vec<_> = processes
        .iter()
        .map(|key| process(*key).to_string())
        .collect();
    expected.sort();
    eventually("the reports to be published", async || {
        (published(cluster).await == expected).then_some(())
    })
    .await;
}

async fn word(cluster: &Cluster, key: u64) -> u64 {
    let word = cluster.get(&format!("processes/{}", process(key))).await;
    word.unwrap().modify_index.0
}

/// The operations that a policy has asked for; that a process has died is one, too.
async fn asked_for(cluster: &Cluster) -> Vec<Value> {
    let ops = cluster.client.kv().list("fence/ops/").await.unwrap().value;
    let ops = ops.iter().map(|pair| pair.json::<Value>().unwrap());
    ops.filter(|op| op["origin"]["who"] == "policy test")
        .collect()
}

#[tokio::test]
async fn a_process_that_two_nodes_report_is_killed_and_one_node_does_nothing() {
    let cluster = Cluster::small(3).await;
    let bridge = start(&cluster, counting("off")).await;
    can_kill(&cluster).await;
    let (accuser, _) = survivor(&bridge, 2).await;
    let (other, _) = survivor(&bridge, 3).await;
    let mut victim = Local::m0d(&bridge, 4).await;
    bridge.wait_known(4, "STARTED").await;

    // Two processes of one node are one node.
    rpc(&accuser, service(8), HaState::Transient).await;
    set(&other, process(4), HaState::Failed).await;
    until_published(&cluster, &[4]).await;
    // Of those that nobody knows, and of themselves.
    set(&accuser, process(0x77), HaState::Failed).await;
    set(&accuser, process(2), HaState::Failed).await;
    rpc(&other, service(6), HaState::Transient).await;
    // One is taken back, the other stands.
    rpc(&accuser, service(8), HaState::Online).await;
    set(&accuser, process(3), HaState::Transient).await;
    until_published(&cluster, &[3, 4]).await;
    set(&accuser, process(3), HaState::Online).await;
    until_published(&cluster, &[4]).await;
    set(&other, process(4), HaState::Online).await;
    until_published(&cluster, &[]).await;
    rpc(&accuser, service(8), HaState::Transient).await;
    until_published(&cluster, &[4]).await;

    // Another node says so, too: of an earlier incarnation first, and one whose hax is not alive.
    let far = |word: u64| json!({ "words": { process(4).to_string(): word } }).to_string();
    let current = word(&cluster, 4).await;
    let _session = alive(&cluster, "far").await;
    cluster.put("fence/reports/far", &far(current - 1)).await;
    cluster.put("fence/peers/gone", "{}").await;
    cluster.put("fence/reports/gone", &far(current)).await;
    cluster.put("fence/reports/far", &far(current)).await;
    eventually("the process to be killed", async || {
        victim.has_ended().then_some(())
    })
    .await;
    let [op] = asked_for(&cluster).await.try_into().unwrap();
    assert_eq!(op["target"], format!("{}@{}", process(4), cluster.node));
    // Those that counted when it was decided, and no fewer.
    let mut nodes = ["far", cluster.node.as_str()];
    nodes.sort_unstable();
    let reason = format!(
        "Motr processes on {} report {}",
        nodes.join(", "),
        process(4)
    );
    assert_eq!(op["origin"]["reason"], reason);
}

/// A peer of this name that is alive as far as Consul knows.
async fn alive(cluster: &Cluster, node: &str) -> SessionId {
    let mut session = NewSession::new("a test");
    session.checks = Checks::none();
    let session = cluster.client.session().create(&session).await.unwrap();
    let kv = cluster.client.kv();
    let key = format!("fence/peers/{node}");
    assert!(kv.acquire(&key, "{}", &session).await.unwrap());
    session
}
