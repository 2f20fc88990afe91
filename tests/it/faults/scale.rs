//! Many notes, many links, many messages.

use halink::{Fid, ServiceEvent};
use hax::sim::client::SimProcess;
use tokio::task::JoinSet;

use super::{post, resident_kib, told, watch_body};
use crate::harness::{Bridge, Cluster, process, soon};

#[tokio::test]
async fn three_thousand_services_reach_fifty_links_once_and_in_order() {
    const LINKS: u64 = 50;
    const SERVICES: u64 = 3_000;
    let cluster = Cluster::small(0).await;
    let bridge = Bridge::start(&cluster).await;
    let mut processes = Vec::new();
    for key in 100..100 + LINKS {
        processes.push(bridge.recorded(key).await);
    }
    let keys: Vec<u64> = (1_000..1_000 + SERVICES).collect();
    let links: Vec<u64> = (100..100 + LINKS).collect();
    bridge.wait_links(&links).await;
    let answer = post(&bridge, watch_body(keys.iter().copied(), "warning")).await;
    assert_eq!(answer["notes"], SERVICES, "{answer}");
    assert_eq!(answer["links"], LINKS, "{answer}");
    bridge.wait_counter("broadcast_messages", 3 * LINKS).await;
    bridge.wait_counter("delivered", 3 * LINKS).await;
    let expected: Vec<Fid> = keys.iter().map(|key| process(*key)).collect();
    for (_, recorder) in &processes {
        let all = |_: &[_]| {
            let told = told(recorder);
            (told.len() >= 3).then_some(told)
        };
        let told = recorder.wait("three messages", all).await;
        let sizes: Vec<usize> = told.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1_024, 1_024, 952]);
        assert_eq!(told.concat(), expected);
    }
}

/// Messages of the long run, for instance 100000; without it the run is short.
const LONG_RUN: &str = "HAX_TEST_MESSAGES";

/// What the bridge may grow by over the whole run. Nothing is outstanding when it is measured,
/// so only what an allocator keeps may differ, and that shows in the warm-up. A leak of the
/// smallest message, 200 bytes, shows as 4 MiB in the short run and one of a libmotr message,
/// 24 KiB, as 480 MiB.
const GROWTH_KIB: u64 = 3 * 1_024;

async fn send_service_events(processes: &[SimProcess], count: u64) {
    let mut senders = JoinSet::new();
    let each = count / processes.len() as u64;
    for sim in processes {
        let sim = sim.clone();
        senders.spawn(async move {
            for _ in 0..each {
                let event = sim.service_event(Fid::NIL, ServiceEvent::Started, 2);
                soon("room for a message", event).await.unwrap();
            }
            soon("all to be delivered", sim.wait_all_delivered())
                .await
                .unwrap();
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
}

#[tokio::test]
async fn memory_does_not_grow_with_messages() {
    const WARM_UP: u64 = 10_000;
    let long = std::env::var(LONG_RUN).ok();
    let count = long.map_or(20_000, |count| count.parse().unwrap());
    let cluster = Cluster::small(0).await;
    let bridge = Bridge::start(&cluster).await;
    let mut processes = Vec::new();
    for key in 10..14 {
        processes.push(bridge.sim(key).await);
    }
    let before = bridge.counter("service_events").await;
    send_service_events(&processes, WARM_UP).await;
    bridge
        .wait_counter("service_events", before + WARM_UP)
        .await;
    let warm = resident_kib(bridge.pid());
    send_service_events(&processes, count).await;
    bridge
        .wait_counter("service_events", before + WARM_UP + count)
        .await;
    let end = resident_kib(bridge.pid());
    eprintln!("{count} messages: {warm} KiB, then {end} KiB");
    assert!(end <= warm + GROWTH_KIB, "{warm} KiB, then {end} KiB");
}
