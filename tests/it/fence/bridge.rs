//! What Motr is told while fencing is on. The records under `fence/` are written by the tests, but where
//! a process is killed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use halink::{HaState, ProcessEvent, ProcessType};
use hax::sim::client::SimProcess;
use serde_json::{Value, json};

use consul_client::CheckStatus;

use crate::death::{Local, all_told, answers, post_health, survivor, told};
use crate::harness::{Bridge, Cluster, Recorder, Settings, Until, eventually, process, soon};

/// M0_NC_FAILED, M0_NC_TRANSIENT and M0_NC_ONLINE.
const FAILED: u32 = HaState::Failed as u32;
const TRANSIENT: u32 = HaState::Transient as u32;
const ONLINE: u32 = HaState::Online as u32;

/// `rc` of an entrypoint reply that gives none.
pub(super) const EAGAIN: i32 = -11;

/// Fencing with one device, which kills processes, and a policy with this action.
pub(crate) fn fencing(action: &str) -> Settings {
    let policy = format!("[{{ name = 'test', after = '0s', action = '{action}' }}]");
    Settings::default()
        .with("fence.enabled", "true")
        .with("fence.session_ttl", "'10s'")
        .with("fence.lock_delay", "'1s'")
        .with("fence.startup_grace", "'0s'")
        .with("fence.device", "[{ name = 'kill', type = 'process' }]")
        .with("fence.policy", policy)
}

pub(super) async fn start(cluster: &Cluster, settings: Settings) -> Bridge {
    let audit = tempfile::tempdir().unwrap().path().join("audit");
    let settings = settings.with("fence.audit_file", format!("'{}'", audit.display()));
    Bridge::start_with(cluster, settings).await
}

/// Waits until the peers know that this one can kill processes.
pub(super) async fn can_kill(cluster: &Cluster) {
    let key = format!("fence/peers/{}", cluster.node);
    eventually("the device to be published", async || {
        let record: Value = cluster.get(&key).await?.json().ok()?;
        record["devices"].get("kill").map(drop)
    })
    .await;
}

fn op() -> String {
    uuid::Uuid::now_v7().to_string()
}

async fn fence_node(cluster: &Cluster, node: &str, fenced: bool) {
    let fenced = fenced.then(|| json!({ "op": op(), "action": "off", "at": 1 }));
    let record = json!({ "epoch": 1, "fenced": fenced }).to_string();
    cluster.put(&format!("fence/nodes/{node}"), &record).await;
}

async fn index_of(cluster: &Cluster, key: u64) -> u64 {
    let word = cluster.get(&format!("processes/{}", process(key))).await;
    word.unwrap().modify_index.0
}

async fn says(sim: &SimProcess, event: ProcessEvent) {
    let delivery = sim.process_event(event, ProcessType::M0d).await.unwrap();
    soon("an event to be delivered", delivery.wait())
        .await
        .unwrap();
}

/// A process that starts anew, as Motr does: by STARTING. STARTED alone would be what KV has already,
/// and Consul gives no new index to what is not changed.
async fn reborn(bridge: &Bridge, key: u64) -> SimProcess {
    let (sim, _events) = bridge.spawn_sim(bridge.sim_config(key));
    soon("an entrypoint", sim.ready()).await.unwrap();
    says(&sim, ProcessEvent::Starting).await;
    says(&sim, ProcessEvent::Started).await;
    sim
}

#[tokio::test]
async fn a_failed_process_is_transient_until_it_is_confirmed() {
    let cluster = Cluster::small(2).await;
    let bridge = start(&cluster, fencing("none")).await;
    let (told_of, _) = survivor(&bridge, 2).await;
    let (victim, _) = survivor(&bridge, 3).await;
    bridge.wait_known(3, "STARTED").await;

    cluster.set_check(3, CheckStatus::Critical).await;
    post_health(&bridge, &cluster).await;
    all_told(&[&told_of], 3, HaState::Transient).await;
    assert_eq!(answers(&told_of, 3).await, [TRANSIENT; 3]);
    // It lives, and may be well: its link stays.
    bridge.wait_links(&[2, 3]).await;

    let word = index_of(&cluster, 3).await;
    let key = format!("fence/processes/{}", process(3));
    let record = |word: u64| json!({ "op": op(), "word": word }).to_string();
    // Of an earlier incarnation.
    cluster.put(&key, &record(word - 1)).await;
    bridge.wait_log("is confirmed to write nothing").await;
    assert_eq!(answers(&told_of, 3).await, [TRANSIENT; 3]);
    cluster.put(&key, &record(word)).await;
    all_told(&[&told_of], 3, HaState::Failed).await;
    assert_eq!(answers(&told_of, 3).await, [FAILED; 3]);
    bridge.wait_links(&[2]).await;
    drop(victim);

    // Its next life is not confirmed.
    let _reborn = reborn(&bridge, 3).await;
    cluster.set_check(3, CheckStatus::Passing).await;
    post_health(&bridge, &cluster).await;
    all_told(&[&told_of], 3, HaState::Online).await;
    assert_eq!(answers(&told_of, 3).await, [ONLINE; 3]);
}

/// What was there when it was started is looked at anew when the grace is over.
#[tokio::test]
async fn nothing_is_asked_for_by_itself_within_the_startup_grace() {
    const GRACE: Duration = Duration::from_secs(3);
    let cluster = Cluster::small(2).await;
    let word = json!({ "state": "M0_CONF_HA_PROCESS_STARTED", "type": "M0_CONF_HA_PROCESS_M0D" });
    let key = format!("processes/{}", process(3));
    cluster.put(&key, &word.to_string()).await;
    cluster.set_check(3, CheckStatus::Critical).await;
    let settings = fencing("off").with("fence.startup_grace", "'3s'");
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let _bridge = start(&cluster, settings).await;
    let op = eventually("an operation", async || {
        let ops = cluster.client.kv().list("fence/ops/").await.ok()?.value;
        ops.first()?.json::<Value>().ok()
    })
    .await;
    assert_eq!(op["origin"]["source"], "process-failed", "{op}");
    let at = Duration::from_millis(op["origin"]["at"].as_u64().unwrap());
    assert!(at >= before + GRACE, "{op}");
}

#[tokio::test]
async fn a_process_that_has_stopped_needs_no_fence() {
    let cluster = Cluster::small(2).await;
    let bridge = start(&cluster, fencing("none")).await;
    // The servers of this cluster are as Consul has them by default.
    bridge.wait_log("cleanup-dead-servers=false").await;
    let (told_of, _) = survivor(&bridge, 2).await;
    let (stopped, _) = survivor(&bridge, 3).await;
    says(&stopped, ProcessEvent::Stopped).await;
    cluster.set_check(3, CheckStatus::Critical).await;
    post_health(&bridge, &cluster).await;
    all_told(&[&told_of], 3, HaState::Failed).await;
}

#[tokio::test]
async fn processes_of_a_fenced_node_are_failed_whatever_checks_say() {
    let cluster = Cluster::small(1).await;
    cluster.add_process("far", 9, ["rms", "ios"]).await;
    let bridge = start(&cluster, fencing("none")).await;
    let (told_of, _) = survivor(&bridge, 2).await;
    bridge.wait_known(2, "STARTED").await;
    assert_eq!(answers(&told_of, 9).await, [ONLINE; 3]);

    fence_node(&cluster, "far", true).await;
    all_told(&[&told_of], 9, HaState::Failed).await;
    assert_eq!(answers(&told_of, 9).await, [FAILED; 3]);
    let passing = json!([{ "Node": { "Node": "far" }, "Service": { "ID": "9" },
        "Checks": [{ "Status": "passing", "ModifyIndex": u32::MAX }] },
        { "Node": { "Node": "far" }, "Service": { "ID": "901" },
        "Checks": [{ "Status": "warning", "ModifyIndex": 1 }] }]);
    bridge.post("/", passing.to_string()).await;
    told(&told_of, process(901), HaState::Transient).await;
    all_told(&[&told_of], 9, HaState::Failed).await;

    fence_node(&cluster, "far", false).await;
    all_told(&[&told_of], 9, HaState::Online).await;
    assert_eq!(answers(&told_of, 9).await, [ONLINE; 3]);
}

#[tokio::test]
async fn a_fenced_node_gives_no_entrypoint() {
    let cluster = Cluster::small(1).await;
    fence_node(&cluster, &cluster.node, true).await;
    let bridge = start(&cluster, fencing("none")).await;
    bridge.wait_log("this node is fenced").await;
    let (sim, events) = bridge.spawn_sim(bridge.sim_config(2));
    let heard = Recorder::spawn(events);
    // It asks again after each of them. That it has a link all the same is as in the library: every
    // answer makes one (6/WIRE).
    heard
        .wait("three answers", |_| {
            (heard.replies().len() >= 3).then_some(())
        })
        .await;
    // Its own process has it, and nobody else.
    assert_eq!(bridge.counter("entrypoint_replies").await, 1);
    let rcs: Vec<_> = heard.replies().iter().map(|reply| reply.rc).collect();
    assert!(rcs.iter().all(|rc| *rc == EAGAIN), "{rcs:?}");
    fence_node(&cluster, &cluster.node, false).await;
    soon("an entrypoint", sim.ready()).await.unwrap();
    assert_eq!(bridge.counter("entrypoint_replies").await, 2);
}

#[tokio::test]
async fn a_node_that_has_been_started_anew_comes_back_by_itself() {
    let cluster = Cluster::small(1).await;
    let directory = tempfile::tempdir().unwrap();
    let boot = directory.path().join("boot_id");
    std::fs::write(&boot, "before").unwrap();
    let fenced = json!({ "op": op(), "action": "off", "boot_id": "before", "at": 1 });
    let key = format!("fence/nodes/{}", cluster.node);
    let record = json!({ "epoch": 7, "fenced": fenced }).to_string();
    cluster.put(&key, &record).await;
    let settings = fencing("none").with("fence.boot_id_file", format!("'{}'", boot.display()));
    let mut bridge = start(&cluster, settings).await;
    bridge.wait_log("it has not been started anew since").await;
    bridge.terminate().await;
    std::fs::write(&boot, "after").unwrap();
    bridge.restart().await;
    eventually("the node to be back", async || {
        let record = cluster.get(&key).await?;
        let record: Value = record.json().unwrap();
        assert_eq!(record["epoch"], 7);
        record["fenced"].is_null().then_some(())
    })
    .await;
}

/// The last operation under `fence/ops/` that has ended.
pub(super) async fn ended_op(cluster: &Cluster) -> Value {
    eventually("an operation to end", async || {
        let ops = cluster.client.kv().list("fence/ops/").await.unwrap().value;
        let mut ops = ops.iter().map(|pair| pair.json::<Value>().unwrap());
        ops.rfind(|op| op["phase"]["phase"] == "ended")
    })
    .await
}

#[tokio::test]
async fn a_process_whose_check_turns_critical_is_killed_by_the_hax_of_its_node() {
    let cluster = Cluster::small(2).await;
    let bridge = start(&cluster, fencing("off")).await;
    can_kill(&cluster).await;
    let (told_of, _) = survivor(&bridge, 2).await;
    let mut victim = Local::m0d(&bridge, 3).await;
    cluster.set_check(3, CheckStatus::Critical).await;
    eventually("the process to be killed", async || {
        victim.has_ended().then_some(())
    })
    .await;
    all_told(&[&told_of], 3, HaState::Failed).await;
    let op = ended_op(&cluster).await;
    assert_eq!(op["target"], format!("{}@{}", process(3), cluster.node));
    let confirmed = cluster
        .get(&format!("fence/processes/{}", process(3)))
        .await;
    assert!(confirmed.is_some(), "{op}");
}

#[tokio::test]
async fn an_isolated_process_is_transient_and_killed() {
    let cluster = Cluster::small(2).await;
    let bridge = start(&cluster, fencing("off")).await;
    can_kill(&cluster).await;
    let (told_of, _) = survivor(&bridge, 2).await;
    let mut victim = Local::m0d(&bridge, 3).await;
    victim.say("keepalive-req");
    bridge.wait_counter("fatal_messages", 1).await;
    eventually("the process to be killed", async || {
        victim.has_ended().then_some(())
    })
    .await;
    all_told(&[&told_of], 3, HaState::Failed).await;
    // STOPPED would have been a lie.
    let stored = cluster.stored(3).await.unwrap();
    assert!(!stored.contains("STOPPED"), "{stored}");
}

#[tokio::test]
async fn a_death_is_recorded_for_the_other_nodes() {
    let cluster = Cluster::small(2).await;
    let bridge = start(&cluster, fencing("none").until(Until::Led)).await;
    let victim = Local::m0d(&bridge, 3).await;
    let word = index_of(&cluster, 3).await;
    victim.kill();
    let key = format!("fence/processes/{}", process(3));
    eventually("the death to be recorded", async || {
        let record: Value = cluster.get(&key).await?.json().unwrap();
        (record["word"] == word).then_some(())
    })
    .await;
    let op = ended_op(&cluster).await;
    assert_eq!(op["phase"]["outcome"], "confirmed", "{op}");
}
