//! Consul away, and back.

use std::time::Duration;

use halink::{HaState, ProcessEvent};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Outage, delivered, delivered_tags, hasty, post, replies, send, wait_retried, watch_body,
};
use crate::harness::{Bridge, Recorder, process, soon};

/// Far above `entrypoint.timeout`: this machine may be busy, and a lost request never answered.
const GENEROUS: Duration = Duration::from_secs(20);

/// Requests of a process that is told EAGAIN are answered in time, paced, and at last served.
async fn entrypoint_requests_are_paced(outage: Outage, head_is_retried: bool) {
    let mut cluster = outage.cluster(1).await;
    let settings = hasty().with("entrypoint.timeout", "'500ms'");
    let mut bridge = Bridge::start_with(&cluster, settings).await;
    let ios = bridge.sim(2).await;
    outage.begin(&mut cluster);
    let mut head = None;
    if head_is_retried {
        head = Some(send(&ios, ProcessEvent::Starting).await);
        wait_retried(&bridge, 2, 1).await;
    }
    let begin = Instant::now();
    let mut processes = Vec::new();
    for key in 10..13 {
        let (sim, events) = bridge.spawn_sim(bridge.sim_config(key));
        processes.push((sim, Recorder::spawn(events)));
    }
    for (sim, recorder) in &processes {
        soon("four EAGAIN", sim.wait(|state| state.again >= 4))
            .await
            .unwrap();
        let replies = replies(recorder);
        assert!(
            replies[0].0 - begin < GENEROUS,
            "{:?}",
            replies[0].0 - begin
        );
        for (n, (at, rc)) in replies.iter().enumerate() {
            let least = Duration::from_secs(n.try_into().unwrap());
            assert!(*at - begin >= least, "reply {n} after {:?}", *at - begin);
            assert_eq!(*rc, -11);
        }
    }
    if head_is_retried {
        wait_retried(&bridge, 2, 1).await;
        assert_eq!(ios.state().borrow().unacked, 1, "delivered without KV");
    }
    outage.end(&mut cluster).await;
    for (sim, _) in &processes {
        soon("the entrypoint", sim.ready()).await.unwrap();
    }
    if let Some(head) = head {
        delivered(head).await;
        cluster.wait_stored(2, "STARTING").await;
    }
    assert!(bridge.is_alive());
    bridge.wait_links(&[2, 10, 11, 12]).await;
}

#[tokio::test]
async fn entrypoint_requests_are_paced_while_consul_hangs() {
    entrypoint_requests_are_paced(Outage::Frozen, false).await;
}

#[tokio::test]
async fn entrypoint_requests_are_paced_while_consul_hangs_and_an_event_is_retried() {
    entrypoint_requests_are_paced(Outage::Frozen, true).await;
}

#[tokio::test]
async fn entrypoint_requests_are_paced_while_consul_is_dead() {
    entrypoint_requests_are_paced(Outage::Killed, false).await;
}

#[tokio::test]
async fn entrypoint_requests_are_paced_while_consul_is_dead_and_an_event_is_retried() {
    entrypoint_requests_are_paced(Outage::Killed, true).await;
}

/// Links are numbered when replies are sent, so their numbers tell the order of the replies.
async fn entrypoint_requests_keep_their_order(timeout: &str, again: bool) {
    let outage = Outage::Frozen;
    let mut cluster = outage.cluster(1).await;
    let settings = hasty().with("entrypoint.timeout", timeout);
    let bridge = Bridge::start_with(&cluster, settings).await;
    let ios = bridge.sim(2).await;
    outage.begin(&mut cluster);
    let head = send(&ios, ProcessEvent::Starting).await;
    wait_retried(&bridge, 2, 1).await;
    let mut processes = Vec::new();
    for key in [15, 11, 14, 12, 13] {
        let (sim, _) = bridge.spawn_sim(bridge.sim_config(key));
        processes.push(sim);
        let arrived = |status: &Value| {
            let waiting = status["queue"]["waiting"].as_u64().unwrap();
            // Those told EAGAIN have a link, beside ours and the one of the event in hand.
            let told = status["links"].as_array().unwrap().len() - 2;
            waiting + told as u64 >= processes.len() as u64
        };
        bridge.wait_status("the request to arrive", arrived).await;
    }
    if !again {
        outage.end(&mut cluster).await;
    }
    let mut links = Vec::new();
    for sim in &processes {
        let link = sim.wait(|state| state.link.is_some());
        soon("a reply", link).await.unwrap();
        let state = sim.state().borrow().clone();
        assert_eq!(state.again > 0, again);
        links.push(state.link.unwrap().2);
    }
    assert!(links.is_sorted(), "{links:?}");
    if again {
        outage.end(&mut cluster).await;
    }
    delivered(head).await;
    for sim in &processes {
        soon("the entrypoint", sim.ready()).await.unwrap();
    }
}

#[tokio::test]
async fn eagain_goes_out_in_the_order_of_the_requests() {
    entrypoint_requests_keep_their_order("'4s'", true).await;
}

#[tokio::test]
async fn replies_go_out_in_the_order_of_the_requests() {
    entrypoint_requests_keep_their_order("'60s'", false).await;
}

async fn events_wait_for_consul_in_order(outage: Outage) {
    const EVENTS: [ProcessEvent; 3] = [
        ProcessEvent::Starting,
        ProcessEvent::Started,
        ProcessEvent::Stopping,
    ];
    let mut cluster = outage.cluster(3).await;
    let bridge = Bridge::start_with(&cluster, hasty()).await;
    let mut processes = Vec::new();
    for key in 2..5 {
        processes.push(bridge.recorded(key).await);
    }
    let written = bridge.counter("process_events").await;
    outage.begin(&mut cluster);
    let mut tags = vec![Vec::new(); processes.len()];
    for event in EVENTS {
        for ((sim, _), tags) in processes.iter().zip(&mut tags) {
            tags.push(send(sim, event).await.tag);
        }
    }
    wait_retried(&bridge, 2, 3).await;
    for (sim, _) in &processes {
        assert_eq!(sim.state().borrow().unacked, EVENTS.len());
    }
    outage.end(&mut cluster).await;
    for (((sim, recorder), tags), key) in processes.iter().zip(tags).zip(2..) {
        soon("all events to be delivered", sim.wait_all_delivered())
            .await
            .unwrap();
        cluster.wait_stored(key, "STOPPING").await;
        recorder
            .wait("every delivery", |_| {
                (delivered_tags(recorder).len() == EVENTS.len()).then_some(())
            })
            .await;
        assert_eq!(delivered_tags(recorder), tags);
    }
    let all = written + (EVENTS.len() * processes.len()) as u64;
    bridge.wait_counter("process_events", all).await;
}

#[tokio::test]
async fn events_wait_for_a_hanging_consul_in_order() {
    events_wait_for_consul_in_order(Outage::Frozen).await;
}

#[tokio::test]
async fn events_wait_for_a_dead_consul_in_order() {
    events_wait_for_consul_in_order(Outage::Killed).await;
}

#[tokio::test]
async fn a_watch_is_broadcast_while_an_event_is_retried() {
    let outage = Outage::Frozen;
    let mut cluster = outage.cluster(2).await;
    let bridge = Bridge::start_with(&cluster, hasty()).await;
    let ios = bridge.sim(2).await;
    let other = bridge.sim(3).await;
    outage.begin(&mut cluster);
    let head = send(&ios, ProcessEvent::Starting).await;
    wait_retried(&bridge, 2, 1).await;
    for (status, state) in [
        ("critical", HaState::Failed),
        ("warning", HaState::Transient),
        ("passing", HaState::Online),
    ] {
        post(&bridge, watch_body([7], status)).await;
        for sim in [&ios, &other] {
            soon("the note", sim.wait_state(process(7), state))
                .await
                .unwrap();
        }
    }
    wait_retried(&bridge, 2, 1).await;
    assert_eq!(
        ios.state().borrow().unacked,
        1,
        "the dispatcher was blocked"
    );
    outage.end(&mut cluster).await;
    delivered(head).await;
}

#[tokio::test]
async fn the_bridge_stops_in_bounded_time_while_consul_hangs() {
    let outage = Outage::Frozen;
    let mut cluster = outage.cluster(1).await;
    let mut bridge = Bridge::start_with(&cluster, hasty()).await;
    let ios = bridge.sim(2).await;
    outage.begin(&mut cluster);
    let head = send(&ios, ProcessEvent::Starting).await;
    wait_retried(&bridge, 2, 1).await;
    let begin = Instant::now();
    bridge.signal(rustix::process::Signal::TERM);
    let exit = soon("the bridge to stop", bridge.exited()).await;
    eprintln!("stopped after {:?}: {exit}", begin.elapsed());
    assert_eq!(ios.state().borrow().unacked, 1);
    drop(head);
}
