//! A final error of Consul: a token that may not write.

use halink::ProcessEvent;

use super::{delivered, send};
use crate::harness::{Bridge, Guarded, process, soon};

#[tokio::test]
async fn an_event_that_may_not_be_written_comes_again_when_the_policy_is_mended() {
    let guarded = Guarded::start(2, r#"key_prefix "process" { policy = "read" }"#).await;
    let cluster = &guarded.cluster;
    let mut bridge = Bridge::start_with(cluster, guarded.settings()).await;
    let (ios, other) = (bridge.sim(2).await, bridge.sim(3).await);
    let finals = bridge.counter("final_errors").await;
    let first = send(&ios, ProcessEvent::Starting).await;
    let second = send(&other, ProcessEvent::Started).await;
    bridge
        .wait_status("two final errors more", |status| {
            status["counters"]["final_errors"].as_u64().unwrap() >= finals + 2
        })
        .await;
    // The queue goes on: what reads only is answered.
    let states = soon("an answer", ios.nvec_get(&[process(3)]))
        .await
        .unwrap();
    assert_eq!(states.len(), 1);
    let only_the_event = ios.wait(|state| state.unacked == 1);
    soon("the NVEC GET to be delivered", only_the_event)
        .await
        .unwrap();
    assert_eq!(other.state().borrow().unacked, 1);
    assert_eq!(cluster.stored(2).await, None);
    assert_eq!(bridge.counter("process_events").await, 0);

    guarded
        .allow(r#"key_prefix "process" { policy = "write" }"#)
        .await;
    let exit = bridge.terminate().await;
    assert!(exit.success(), "{exit}");
    bridge.restart().await;
    delivered(first).await;
    delivered(second).await;
    cluster.wait_stored(2, "STARTING").await;
    cluster.wait_stored(3, "STARTED").await;
    assert_eq!(bridge.counter("final_errors").await, 0);
}
