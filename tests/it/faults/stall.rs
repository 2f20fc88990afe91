//! A process that does not read.

use hax::sim::client::SimProcess;

use super::{post, told, watch_body};
use crate::harness::{Bridge, Cluster, Recorder, process, soon};

/// More than sockets and buffers on the way hold: a note takes 20 bytes.
const BROADCASTS: u64 = 60;
const NOTES: u64 = 1_000;

/// Every broadcast names other objects, so that each can be told from the rest.
fn keys(broadcast: u64) -> std::ops::Range<u64> {
    let first = 10_000 + broadcast * NOTES;
    first..first + NOTES
}

async fn has_all(recorder: &Recorder) {
    let all = |_: &[_]| {
        let told = told(recorder);
        (told.len() as u64 >= BROADCASTS).then_some(told)
    };
    let told = recorder.wait("every broadcast", all).await;
    let expected: Vec<_> = (0..BROADCASTS).flat_map(keys).map(process).collect();
    assert_eq!(told.concat(), expected);
}

fn received(sim: &SimProcess) -> u64 {
    sim.state().borrow().received.values().sum()
}

#[tokio::test]
async fn a_stalled_link_delays_no_other_and_gets_its_messages_later() {
    let cluster = Cluster::small(0).await;
    let bridge = Bridge::start(&cluster).await;
    let (stalled, late) = bridge.recorded(10).await;
    let (_first, first_told) = bridge.recorded(9).await;
    let (_second, second_told) = bridge.recorded(11).await;
    bridge.wait_links(&[9, 10, 11]).await;
    stalled.stall(true).await.unwrap();
    for broadcast in 0..BROADCASTS {
        let answer = post(&bridge, watch_body(keys(broadcast), "warning")).await;
        assert_eq!(answer["links"], 3, "{answer}");
    }
    has_all(&first_told).await;
    has_all(&second_told).await;
    bridge.wait_counter("delivered", 2 * BROADCASTS).await;
    assert!(received(&stalled) < BROADCASTS, "it was to be stalled");
    // Its own messages are taken all the while.
    let event = stalled.nvec_set(Vec::new()).await.unwrap();
    stalled.stall(false).await.unwrap();
    soon("its message to be delivered", event.wait())
        .await
        .unwrap();
    has_all(&late).await;
    bridge.wait_counter("delivered", 3 * BROADCASTS).await;
    assert_eq!(bridge.counter("send_errors").await, 0);
}
