//! EVENT_PROCESS: both keys in one transaction, acknowledged when KV has them.

use halink::{Fid, ProcessEvent, ProcessType};
use hax::sim::client::SimProcess;
use hax::sim::wire::{Body, ConfEvent};

use crate::harness::{Bridge, Cluster, Settings, process, service, soon};

async fn report(sim: &SimProcess, event: ProcessEvent, kind: ProcessType) {
    let delivery = sim.process_event(event, kind).await.unwrap();
    soon("the event to be delivered", delivery.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn every_event_of_every_type_is_in_both_keys_once_it_is_delivered() {
    let cluster = Cluster::small(0).await;
    let bridge = Bridge::start(&cluster).await;
    let before = bridge.counter("process_events").await;
    let mut key = 10;
    for event in ProcessEvent::ALL {
        for kind in ProcessType::ALL {
            let sim = bridge.sim(key).await;
            report(&sim, *event, *kind).await;
            let expected = format!(r#"{{"state":"{event}","type":"{kind}"}}"#);
            let fid = process(key);
            let canonical = cluster.get(&format!("processes/{fid}")).await.unwrap();
            let alias = cluster.get(&format!("process/{fid}")).await.unwrap();
            assert_eq!(canonical.text().unwrap(), expected);
            assert_eq!(alias.text().unwrap(), expected);
            assert_eq!(canonical.modify_index, alias.modify_index, "{expected}");
            key += 1;
        }
    }
    let written = (ProcessEvent::ALL.len() * ProcessType::ALL.len()) as u64;
    bridge
        .wait_counter("process_events", before + written)
        .await;
    assert_eq!(bridge.counter("malformed").await, 0);
}

#[tokio::test]
async fn an_event_is_not_delivered_before_kv_has_it() {
    let cluster = Cluster::small(1).await;
    let settings = Settings::default().with("consul.timeout", "'100ms'");
    let bridge = Bridge::start_with(&cluster, settings).await;
    let sim = bridge.sim(2).await;
    cluster.consul.freeze();
    let delivery = sim
        .process_event(ProcessEvent::Started, ProcessType::M0d)
        .await
        .unwrap();
    let in_hand = |status: &serde_json::Value| {
        let what = status["queue"]["in_hand"].as_str().unwrap_or_default();
        what.contains(&process(2).to_string())
    };
    let status = bridge.wait_status("the event in hand", in_hand).await;
    let retries = status["counters"]["retries"].as_u64().unwrap();
    bridge
        .wait_status("three more attempts", |status| {
            status["counters"]["retries"].as_u64().unwrap() >= retries + 3
        })
        .await;
    assert_eq!(sim.state().borrow().unacked, 1, "delivered without KV");
    cluster.consul.thaw();
    soon("the event to be delivered", delivery.wait())
        .await
        .unwrap();
    let stored = cluster.stored(2).await.unwrap();
    assert!(stored.contains("STARTED"), "{stored}");
}

#[tokio::test]
async fn the_alias_can_be_switched_off() {
    let cluster = Cluster::small(1).await;
    let settings = Settings::default().with("kv.process_alias", "false");
    let bridge = Bridge::start_with(&cluster, settings).await;
    let sim = bridge.sim(2).await;
    report(&sim, ProcessEvent::Starting, ProcessType::M0d).await;
    assert!(cluster.stored(2).await.is_some());
    let aliases = cluster.client.kv().list("process/").await.unwrap().value;
    assert_eq!(aliases, []);
}

#[tokio::test]
async fn an_event_of_another_process_is_stored_under_that_process() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let sim = bridge.sim(2).await;
    let event = ConfEvent {
        event: ProcessEvent::Stopped.raw(),
        kind: ProcessType::M0d.raw(),
        pid: 1,
    };
    let delivery = sim.send(sim.draft(process(7), Body::Process(event))).await;
    soon("the event to be delivered", delivery.unwrap().wait())
        .await
        .unwrap();
    cluster.wait_stored(7, "STOPPED").await;
    assert_eq!(cluster.stored(2).await, None);
    // Who speaks of another keeps its link.
    bridge.wait_links(&[2]).await;
    assert_eq!(bridge.counter("retired").await, 0);
}

#[tokio::test]
async fn an_event_of_what_is_no_process_is_acknowledged_and_counted() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let sim = bridge.sim(2).await;
    let event = ConfEvent {
        event: ProcessEvent::Started.raw(),
        kind: ProcessType::M0d.raw(),
        pid: 1,
    };
    for fid in [service(5), Fid::NIL] {
        let delivery = sim.send(sim.draft(fid, Body::Process(event))).await;
        soon("the event to be delivered", delivery.unwrap().wait())
            .await
            .unwrap();
    }
    bridge.wait_counter("malformed", 2).await;
    let keys = cluster.client.kv().list("process").await.unwrap().value;
    let of_hax = process(0).to_string();
    assert!(
        keys.iter().all(|pair| pair.key.ends_with(&of_hax)),
        "{keys:?}"
    );
}
