use halink::{DeliveryOutcome, Event, FailureVec, HaState, Handle, Link, LinkId, Note, NvecSet};

use crate::client::Client;
use crate::fixture::{Bridge, PROCESS};

async fn stub(handle: &Handle, link: LinkId) -> halink::Delivery {
    handle
        .send_failure_vec(link, &FailureVec::stub([1, 2]))
        .await
        .unwrap()
}

/// Tells the bridge itself the state of the process.
async fn tell(bridge: &Bridge, state: HaState) {
    let notes = vec![Note {
        object: PROCESS,
        state,
    }];
    let nvec = NvecSet {
        id_of_get: 0,
        ignore_same_state: true,
        notes,
    };
    let own = bridge.own_link.id;
    assert!(
        bridge
            .handle
            .send_nvec(own, &nvec)
            .await
            .unwrap()
            .await
            .is_delivered()
    );
}

/// The link goes: its two events come, its messages are not delivered, and it cannot be used.
async fn goes(bridge: &mut Bridge, link: &Link, waiting: Vec<halink::Delivery>) {
    assert!(matches!(bridge.event().await, Event::LinkDisconnecting(id) if id == link.id));
    for delivery in waiting {
        assert_eq!(delivery.await, DeliveryOutcome::NotDelivered);
    }
    assert!(matches!(bridge.event().await, Event::LinkDisconnected(id) if id == link.id));
    let error = bridge
        .handle
        .send_failure_vec(link.id, &FailureVec::stub([1, 2]))
        .await
        .unwrap_err();
    assert_eq!(error, halink::SendError::LinkGone(link.id));
}

#[tokio::test]
async fn a_bad_frame_ends_its_link_and_no_other() {
    let mut bridge = Bridge::start().await;
    let mut bad = Client::bound(&bridge.turn.socket, PROCESS).await;
    let bad_link = bridge.connected().await;
    let mut good = Client::bound(&bridge.turn.socket, PROCESS).await;
    let good_link = bridge.connected().await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(stub(&bridge.handle, bad_link.id).await);
    }
    bad.frame(3, b"short").await;
    goes(&mut bridge, &bad_link, waiting).await;

    let delivery = stub(&bridge.handle, good_link.id).await;
    let tag = good.receive_message().await.tag;
    good.delivered(tag).await;
    assert!(delivery.await.is_delivered());
    bridge.stop().await;
}

#[tokio::test]
async fn a_process_declared_failed_loses_its_links() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await;
    let waiting = vec![stub(&bridge.handle, link.id).await];
    tell(&bridge, HaState::Online).await;
    tell(&bridge, HaState::Failed).await;
    goes(&mut bridge, &link, waiting).await;

    // The process comes back and learns that it was given up.
    while client.receive().await.is_some() {}
    client.reconnect(&bridge.turn.socket).await;
    client.request().await;
    assert!(matches!(bridge.event().await, Event::LinkAbsent { .. }));
    bridge.stop().await;
}

#[tokio::test]
async fn a_stop_ends_all_links() {
    let mut bridge = Bridge::start().await;
    let _client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await;
    let delivery = stub(&bridge.handle, link.id).await;
    bridge.stop().await;
    assert_eq!(delivery.await, DeliveryOutcome::NotDelivered);
}

#[tokio::test]
async fn a_lost_connection_loses_nothing() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await;
    client.reconnect(&bridge.turn.socket).await;
    let delivery = stub(&bridge.handle, link.id).await;
    assert_eq!(client.entrypoint().await.status, crate::client::REUSED);
    assert!(matches!(bridge.event().await, Event::LinkReused(reused) if reused.id == link.id));
    let tag = client.receive_message().await.tag;
    client.delivered(tag).await;
    assert!(delivery.await.is_delivered());
    bridge.stop().await;
}
