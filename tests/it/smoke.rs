//! The parts meet.

use halink::{ProcessEvent, ProcessType};

use crate::harness::{Bridge, Cluster, soon};

#[tokio::test]
async fn a_process_starts_and_its_status_is_in_kv() {
    let cluster = Cluster::small(1).await;
    let mut bridge = Bridge::start(&cluster).await;
    let ios = bridge.sim(2).await;
    let delivery = ios
        .process_event(ProcessEvent::Started, ProcessType::M0d)
        .await
        .unwrap();
    soon("the event to be delivered", delivery.wait())
        .await
        .unwrap();
    cluster.wait_stored(2, "STARTED").await;
    bridge.wait_links(&[2]).await;
    let exit = bridge.terminate().await;
    assert!(exit.success(), "{exit}");
}
