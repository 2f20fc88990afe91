//! `dispatch.mode = "lanes"`: what is about one process waits for nobody else.

use halink::{ProcessEvent, ProcessType};
use hax::cluster::process::key;
use hax::sim::wire::{Body, ConfEvent};

use super::proxy::{Fault, Proxy, Rule};
use super::{delivered, delivered_tags, hasty, replies, send, wait_retried};
use crate::harness::{Bridge, Cluster, Recorder, process, soon};

/// The request by which the bridge finds out which status of process 2 it replaces.
const OF_PROCESS_2: &str = "GET /v1/kv/processes/0x7200000000000001%3A0x2";

#[tokio::test]
async fn a_stuck_process_keeps_its_order_and_the_others_pass_it() {
    let cluster = Cluster::small(4).await;
    let proxy = Proxy::start(cluster.consul.address()).await;
    let settings = hasty()
        .with("dispatch.mode", "'lanes'")
        .with("consul.address", format!("'http://{}'", proxy.address));
    let bridge = Bridge::start_with(&cluster, settings).await;
    let (stuck, told) = bridge.recorded(2).await;
    let (witness, free) = (bridge.sim(3).await, bridge.sim(4).await);

    proxy.set([Rule::always(OF_PROCESS_2, Fault::Hang)]);
    let first = send(&stuck, ProcessEvent::Starting).await;
    wait_retried(&bridge, 2, 1).await;
    let second = send(&stuck, ProcessEvent::Started).await;
    let asked = {
        let stuck = stuck.clone();
        tokio::spawn(async move { stuck.nvec_get(&[process(2)]).await })
    };
    // What another process says of the stuck one is about the stuck one.
    let stopped = ConfEvent {
        event: ProcessEvent::Stopped.raw(),
        kind: ProcessType::M0d.raw(),
        pid: 1,
    };
    let of_another = witness.draft(process(2), Body::Process(stopped));
    let third = witness.send(of_another).await.unwrap();
    bridge
        .wait_status("three that wait behind the one in hand", |status| {
            status["queue"]["waiting"] == 3
        })
        .await;

    // All that others ask for is done meanwhile.
    for event in [ProcessEvent::Starting, ProcessEvent::Started] {
        delivered(send(&free, event).await).await;
    }
    cluster.wait_stored(4, "STARTED").await;
    let states = soon("an answer", free.nvec_get(&[process(4)])).await;
    assert_eq!(states.unwrap().len(), 1);
    let (newcomer, events) = bridge.spawn_sim(bridge.sim_config(5));
    let recorder = Recorder::spawn(events);
    soon("an entrypoint", newcomer.ready()).await.unwrap();
    let rcs: Vec<i32> = replies(&recorder).iter().map(|(_, rc)| *rc).collect();
    assert_eq!(rcs, [0]);
    assert_eq!(cluster.stored(2).await, None);
    assert_eq!(bridge.status().await["queue"]["waiting"], 3);

    proxy.mend();
    let tags = [first.tag, second.tag];
    for delivery in [first, second, third] {
        delivered(delivery).await;
    }
    soon("an answer", asked).await.unwrap().unwrap();
    assert_eq!(delivered_tags(&told)[..2], tags);
    let commits = proxy.journal().commits();
    let writes = commits.iter().flat_map(|commit| &commit.writes);
    let states = ["STARTING", "STARTED", "STOPPED"];
    let written = writes.filter(|(name, _)| *name == key(process(2)));
    let written: Vec<&str> = written.map(|(_, value)| value.as_str()).collect();
    assert_eq!(written.len(), states.len(), "{written:?}");
    for (value, state) in written.iter().zip(states) {
        assert!(value.contains(&format!("PROCESS_{state}\"")), "{written:?}");
    }
}
