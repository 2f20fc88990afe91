//! What EAGAIN from the queue does beside answering.

use halink::ProcessEvent;
use hax::sim::client::End;

use super::{Outage, delivered, hasty, send, wait_retried};
use crate::harness::{Bridge, soon};

#[tokio::test]
async fn the_older_link_goes_though_the_first_answer_is_eagain() {
    let outage = Outage::Frozen;
    let mut cluster = outage.cluster(2).await;
    let settings = hasty().with("entrypoint.timeout", "'500ms'");
    let bridge = Bridge::start_with(&cluster, settings).await;
    let ios = bridge.sim(2).await;
    let old = bridge.sim(3).await;
    outage.begin(&mut cluster);
    let head = send(&ios, ProcessEvent::Starting).await;
    wait_retried(&bridge, 2, 1).await;
    let (new, _) = bridge.spawn_sim(bridge.sim_config(3));
    let told = new.wait(|state| state.again >= 1);
    soon("EAGAIN", told).await.unwrap();
    bridge.wait_links(&[2, 3]).await;
    assert_eq!(
        soon("the old process to end", old.ended()).await,
        End::Absent
    );
    outage.end(&mut cluster).await;
    soon("the entrypoint", new.ready()).await.unwrap();
    delivered(head).await;
    delivered(send(&new, ProcessEvent::Starting).await).await;
    bridge.wait_links(&[2, 3]).await;
}
