//! Profile `hare` with fencing: what is lost is TRANSIENT, and its states stay, until it is confirmed.

use std::collections::BTreeMap;

use consul_client::{CheckStatus, Index};
use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};
use serde_json::json;

use super::{CLIENT, IOS, all, of_ios, report, serf_health, settings, start_with};
use crate::fence::bridge::fencing;
use crate::harness::{Bridge, Cluster, Instance, Recorder, eventually, process};

async fn start() -> (Cluster, Bridge) {
    let audit = tempfile::tempdir().unwrap().path().join("audit");
    let fencing = fencing("none").with("fence.audit_file", format!("'{}'", audit.display()));
    start_with(settings(fencing)).await
}

/// Whether an object is the ios or something that only it has; what is around it is the bridge's, too.
fn is_of_ios(name: &str) -> bool {
    let object: Option<Fid> = name.parse().ok();
    object.is_some_and(|object| match object.fid_type() {
        Some(FidType::Process) => object == process(IOS),
        Some(FidType::Service | FidType::Sdev) => true,
        _ => false,
    })
}

/// What is stored of the ios: its status, and the states of what it has.
async fn stored(cluster: &Cluster) -> BTreeMap<String, (String, Index)> {
    let lost = lost();
    let pairs = all(cluster).await.into_iter().filter_map(|(key, pair)| {
        let name = match key.strip_prefix("m0conf/") {
            Some(key) => key.rsplit('/').next()?.to_owned(),
            None => key,
        };
        lost.contains_key(&name).then_some((name, pair))
    });
    pairs.collect()
}

/// The same when it is written as lost.
fn lost() -> BTreeMap<String, String> {
    let all = of_ios("STOPPED", "offline", "offline", "M0_NC_TRANSIENT");
    let status = |key: &str| key.starts_with("process");
    all.into_iter()
        .filter(|(key, _)| status(key) || is_of_ios(key))
        .collect()
}

async fn until_lost(cluster: &Cluster) {
    eventually("the loss to be written", async || {
        let stored = stored(cluster).await.into_iter();
        let stored: BTreeMap<_, _> = stored.map(|(key, (value, _))| (key, value)).collect();
        (stored == lost()).then_some(())
    })
    .await;
}

/// The check of the ios turns critical, and the watch says so.
async fn fail(cluster: &Cluster, bridge: &Bridge) {
    let failing = Instance::new(IOS, "ios").with_status(CheckStatus::Critical);
    cluster.register_on("ssu1", failing).await;
    let payload = cluster.service_payload("ios").await;
    let (code, outcome) = bridge.post("/", payload).await;
    assert_eq!(code, 200, "{outcome}");
}

fn was_told(heard: &Recorder, state: HaState) -> bool {
    let of_ios =
        |note: &hax::sim::wire::Note| note.object == process(IOS) && note.state == state.raw();
    heard.notes().iter().any(of_ios)
}

async fn told(heard: &Recorder, state: HaState) {
    let what = format!("{state:?} of the ios");
    heard
        .wait(&what, |_| was_told(heard, state).then_some(()))
        .await;
}

async fn word(cluster: &Cluster) -> u64 {
    let key = format!("processes/{}", process(IOS));
    cluster.get(&key).await.unwrap().modify_index.0
}

fn op() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[tokio::test]
async fn a_lost_process_keeps_its_states_until_a_fence_has_confirmed_it() {
    let (cluster, mut bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let ios = bridge.sim(IOS).await;
    report(&ios, ProcessEvent::DtmRecovered, ProcessType::M0d).await;
    bridge.wait_known(IOS, "DTM_RECOVERED").await;
    let before = stored(&cluster).await;
    assert_eq!(before.len(), lost().len());
    fail(&cluster, &bridge).await;
    told(&heard, HaState::Transient).await;
    assert_eq!(stored(&cluster).await, before, "it may still write");
    assert!(!was_told(&heard, HaState::Failed));
    // What was not confirmed before a restart is not so after it.
    drop(ios);
    bridge.terminate().await;
    bridge.restart().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    bridge.wait_known(IOS, "DTM_RECOVERED").await;
    fail(&cluster, &bridge).await;
    told(&heard, HaState::Transient).await;
    assert_eq!(stored(&cluster).await, before);

    let record = json!({ "op": op(), "word": word(&cluster).await }).to_string();
    let key = format!("fence/processes/{}", process(IOS));
    cluster.put(&key, &record).await;
    until_lost(&cluster).await;
    told(&heard, HaState::Failed).await;
}

#[tokio::test]
async fn the_processes_of_a_lost_node_are_written_when_it_is_fenced() {
    let (cluster, mut bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let ios = bridge.sim(IOS).await;
    report(&ios, ProcessEvent::DtmRecovered, ProcessType::M0d).await;
    bridge.wait_known(IOS, "DTM_RECOVERED").await;
    let before = stored(&cluster).await;
    serf_health(&cluster, CheckStatus::Critical).await;
    fail(&cluster, &bridge).await;
    told(&heard, HaState::Transient).await;
    assert_eq!(stored(&cluster).await, before);
    drop(ios);
    bridge.terminate().await;
    // It is fenced while no bridge is there.
    let record = json!({ "epoch": 1, "fenced": { "op": op(), "action": "off", "at": 1 } });
    cluster.put("fence/nodes/ssu1", &record.to_string()).await;
    assert_eq!(stored(&cluster).await, before);
    bridge.restart().await;
    until_lost(&cluster).await;
}
