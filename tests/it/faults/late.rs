//! A write that was given up and is carried out later.

use halink::ProcessEvent;

use super::proxy::{Fault, Proxy, Rule};
use super::{delivered, hasty, send, wait_retried};
use crate::harness::{Bridge, Cluster, eventually};

#[tokio::test]
async fn a_write_that_comes_late_does_not_undo_a_later_one() {
    let cluster = Cluster::small(1).await;
    let proxy = Proxy::start(cluster.consul.address()).await;
    let settings = hasty().with("consul.address", format!("'http://{}'", proxy.address));
    let bridge = Bridge::start_with(&cluster, settings).await;
    let ios = bridge.sim(2).await;
    proxy.set([Rule::always("PUT /v1/txn", Fault::Keep)]);
    let starting = send(&ios, ProcessEvent::Starting).await;
    wait_retried(&bridge, 2, 2).await;
    eventually("requests kept", async || (proxy.kept() >= 2).then_some(())).await;
    proxy.mend();
    delivered(starting).await;
    delivered(send(&ios, ProcessEvent::Started).await).await;
    cluster.wait_stored(2, "STARTED").await;
    let answers = proxy.release().await;
    assert!(answers.iter().all(|status| *status == 409), "{answers:?}");
    cluster.wait_stored(2, "STARTED").await;
    delivered(send(&ios, ProcessEvent::Stopping).await).await;
    cluster.wait_stored(2, "STOPPING").await;
}

#[tokio::test]
async fn a_write_that_was_carried_out_unheard_counts_once() {
    let cluster = Cluster::small(1).await;
    let proxy = Proxy::start(cluster.consul.address()).await;
    let settings = hasty().with("consul.address", format!("'http://{}'", proxy.address));
    let bridge = Bridge::start_with(&cluster, settings).await;
    let ios = bridge.sim(2).await;
    let written = bridge.counter("process_events").await;
    proxy.set([Rule::always("PUT /v1/txn", Fault::Keep)]);
    let starting = send(&ios, ProcessEvent::Starting).await;
    eventually("a request kept", async || (proxy.kept() >= 1).then_some(())).await;
    let answers = proxy.release().await;
    assert_eq!(answers[0], 200, "{answers:?}");
    proxy.mend();
    delivered(starting).await;
    cluster.wait_stored(2, "STARTING").await;
    bridge.wait_counter("process_events", written + 1).await;
    // Somebody else wrote in between: the bridge's word is the last.
    let key = format!("processes/{}", ios.fid());
    cluster.put(&key, "{}").await;
    delivered(send(&ios, ProcessEvent::Started).await).await;
    cluster.wait_stored(2, "STARTED").await;
}
