//! The bridge killed, and stopped for a while; connections that end in the middle.

use std::time::Duration;

use halink::{ProcessEvent, ProcessType};
use hax::sim::client::SimProcess;
use hax::sim::wire::LinkStatus;
use rustix::process::Signal;
use tokio::task::JoinSet;

use super::{Outage, delivered, delivered_tags, hasty, send, wait_retried};
use crate::harness::{Bridge, Cluster, Settings, Until, process, soon};

#[tokio::test]
async fn an_event_received_and_not_written_is_written_once_by_the_next_run() {
    let outage = Outage::Killed;
    let mut cluster = outage.cluster(1).await;
    let mut bridge = Bridge::start_with(&cluster, hasty()).await;
    let (ios, _recorder) = bridge.recorded(2).await;
    let (_, old_instance, old_link) = ios.state().borrow().link.unwrap();
    outage.begin(&mut cluster);
    let first = send(&ios, ProcessEvent::Starting).await;
    let second = send(&ios, ProcessEvent::Started).await;
    wait_retried(&bridge, 2, 1).await;
    bridge.kill();
    outage.end(&mut cluster).await;
    assert_eq!(cluster.stored(2).await, None);
    bridge.restart().await;
    assert_eq!((first.tag, second.tag), (2, 4));
    delivered(first).await;
    delivered(second).await;
    let (status, instance, link) = ios.state().borrow().link.unwrap();
    assert_eq!(status, LinkStatus::Connected);
    assert_ne!((instance, link), (old_instance, old_link));
    cluster.wait_stored(2, "STARTED").await;
    let third = send(&ios, ProcessEvent::Stopping).await;
    assert_eq!(third.tag, 6, "tags continue on the new link");
    delivered(third).await;
    let status = bridge.status().await;
    let links = status["links"].as_array().unwrap();
    let ours = links.iter().find(|link| link["own"] == false).unwrap();
    assert_eq!(ours["received"], 3, "{status}");
}

#[tokio::test]
async fn an_event_redelivered_is_written_exactly_once_more() {
    let outage = Outage::Killed;
    let mut cluster = outage.cluster(1).await;
    let mut bridge = Bridge::start_with(&cluster, hasty()).await;
    let ios = bridge.sim(2).await;
    outage.begin(&mut cluster);
    let event = send(&ios, ProcessEvent::Starting).await;
    wait_retried(&bridge, 2, 1).await;
    bridge.kill();
    outage.end(&mut cluster).await;
    bridge.restart().await;
    delivered(event).await;
    let pair = cluster
        .get(&format!("processes/{}", process(2)))
        .await
        .unwrap();
    assert!(pair.text().unwrap().contains("STARTING"));
    assert_eq!(pair.create_index, pair.modify_index, "written once");
}

/// Values of which each differs from its neighbours, so that a write can be told from the one
/// before. STOPPED is left out: it ends the link.
fn value(n: usize) -> (ProcessEvent, ProcessType) {
    let events = [
        ProcessEvent::Starting,
        ProcessEvent::Started,
        ProcessEvent::Stopping,
        ProcessEvent::DtmRecovered,
    ];
    let kinds = [ProcessType::M0d, ProcessType::Other, ProcessType::Kernel];
    (events[n % events.len()], kinds[n % kinds.len()])
}

/// Sends events one after another; when one is delivered, KV has it and no later one.
async fn report_all(sim: SimProcess, client: consul_client::Client, count: usize) {
    let key = format!("processes/{}", sim.fid());
    for n in 0..count {
        let (event, kind) = value(n);
        let delivery = sim.process_event(event, kind).await.unwrap();
        delivered(delivery).await;
        let pair = client.kv().get(&key).await.unwrap().value;
        let pair = pair.expect("an event that was delivered is in KV");
        let expected = format!(r#"{{"state":"{event}","type":"{kind}"}}"#);
        assert_eq!(pair.text().unwrap(), expected, "event {n}");
    }
}

#[tokio::test]
async fn every_delivered_event_was_in_kv_however_often_the_bridge_is_killed() {
    const EVENTS: usize = 40;
    const KILLS_MAX: u32 = 10;
    let cluster = Cluster::small(4).await;
    let settings = Settings::default().until(Until::Listening);
    let mut bridge = Bridge::start_with(&cluster, settings).await;
    let mut reports = JoinSet::new();
    for key in 2..6 {
        let sim = bridge.sim(key).await;
        reports.spawn(report_all(sim, cluster.client.clone(), EVENTS));
    }
    let mut random = u64::from(std::process::id()) | 1;
    let mut kills = 0;
    while kills < KILLS_MAX && !reports.is_empty() {
        // xorshift: a kill some few events after the start, at any point of one.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let events = 2 + random % 12;
        let some = bridge.wait_status("some events", |status| {
            status["counters"]["process_events"].as_u64().unwrap() >= events
        });
        // The reports may all end before: the bridge writes faster than it is asked for its status.
        tokio::select! {
            _ = some => {}
            Some(report) = reports.join_next() => {
                report.unwrap();
                continue;
            }
        }
        bridge.kill();
        bridge.restart().await;
        kills += 1;
    }
    assert!(kills > 0, "the bridge was never killed");
    while let Some(report) = soon("the reports to end", reports.join_next()).await {
        report.unwrap();
    }
}

#[tokio::test]
async fn a_stopped_bridge_goes_on_where_it_was() {
    const EVENTS: usize = 100;
    let cluster = Cluster::small(3).await;
    let bridge = Bridge::start(&cluster).await;
    let written = bridge.counter("process_events").await;
    let mut processes = Vec::new();
    for key in 2..5 {
        processes.push(bridge.recorded(key).await);
    }
    let mut tags = vec![Vec::new(); processes.len()];
    for n in 0..EVENTS {
        if n == EVENTS / 4 {
            bridge.signal(Signal::STOP);
        }
        for ((sim, _), tags) in processes.iter().zip(&mut tags) {
            let (event, kind) = value(n);
            tags.push(sim.process_event(event, kind).await.unwrap().tag);
        }
    }
    // While it is stopped a process gives up its connection, and others wait.
    processes[0].0.disconnect(Duration::ZERO).await.unwrap();
    let again = processes[0].0.wait(|state| state.connects >= 2);
    soon("the second connection", again).await.unwrap();
    assert!(processes[0].0.state().borrow().unacked > 0);
    bridge.signal(Signal::CONT);
    for ((sim, recorder), tags) in processes.iter().zip(tags) {
        soon("all events", sim.wait_all_delivered()).await.unwrap();
        recorder
            .wait("every delivery", |_| {
                (delivered_tags(recorder).len() == EVENTS).then_some(())
            })
            .await;
        assert_eq!(delivered_tags(recorder), tags);
    }
    let all = written + (EVENTS * processes.len()) as u64;
    bridge.wait_counter("process_events", all).await;
}

#[tokio::test]
async fn events_of_a_process_that_reconnects_are_handled_once_and_in_order() {
    const EVENTS: usize = 1_000;
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let written = bridge.counter("process_events").await;
    let (ios, recorder) = bridge.recorded(2).await;
    let mut tags = Vec::new();
    // None is written before all are sent.
    cluster.consul.freeze();
    for n in 0..EVENTS {
        let (event, kind) = value(n);
        tags.push(ios.process_event(event, kind).await.unwrap().tag);
    }
    cluster.consul.thaw();
    for (connects, left) in (2..).zip([800, 500, 200]) {
        let some = ios.wait(|state| state.unacked <= left);
        soon("a part of the burst", some).await.unwrap();
        ios.disconnect(Duration::ZERO).await.unwrap();
        let again = ios.wait(|state| state.connects == connects);
        soon("the next connection", again).await.unwrap();
    }
    soon("all events", ios.wait_all_delivered()).await.unwrap();
    recorder
        .wait("every delivery", |_| {
            (delivered_tags(&recorder).len() == EVENTS).then_some(())
        })
        .await;
    assert_eq!(delivered_tags(&recorder), tags);
    bridge
        .wait_counter("process_events", written + EVENTS as u64)
        .await;
    let (event, kind) = value(EVENTS - 1);
    let last = format!(r#"{{"state":"{event}","type":"{kind}"}}"#);
    assert_eq!(cluster.stored(2).await.unwrap(), last);
}
