//! One message to many links.

use std::sync::Arc;

use halink::{DeliveryOutcome, Fid, FidType, HaState, LinkId, Note, NvecSet, SendError};

use crate::client::Client;
use crate::fixture::Bridge;

fn nvec() -> Arc<NvecSet> {
    let object = Fid::typed(FidType::Process, 1, 77);
    let state = HaState::Failed;
    Arc::new(NvecSet {
        id_of_get: 0,
        ignore_same_state: true,
        notes: vec![Note { object, state }],
    })
}

async fn client(bridge: &mut Bridge, key: u64) -> (Client, LinkId) {
    let process = Fid::typed(FidType::Process, 1, key);
    let client = Client::bound(&bridge.turn.socket, process).await;
    (client, bridge.connected().await.id)
}

#[tokio::test]
async fn a_broadcast_has_a_delivery_on_each_link() {
    let mut bridge = Bridge::start().await;
    let (mut first, first_link) = client(&mut bridge, 10).await;
    let (_silent, silent_link) = client(&mut bridge, 11).await;
    let (mut second, second_link) = client(&mut bridge, 12).await;
    let unknown = LinkId(u64::MAX);
    let links = [
        first_link,
        unknown,
        silent_link,
        second_link,
        bridge.own_link.id,
    ];
    let results = bridge.handle.broadcast(&links, nvec()).await;
    let of: Vec<LinkId> = results.iter().map(|(link, _)| *link).collect();
    assert_eq!(of, links);
    let mut results = results.into_iter().map(|(_, result)| result);
    let mut next = || results.next().unwrap();
    let delivery = next().unwrap();
    assert_eq!(next().unwrap_err(), SendError::LinkGone(unknown));
    let silent = next().unwrap();
    let others = [(&mut first, delivery), (&mut second, next().unwrap())];
    // Delivered while one of the links says nothing.
    for (client, delivery) in others {
        let message = client.receive_message().await;
        assert_eq!((message.tag, message.msg_type), (delivery.tag().0, 2));
        client.delivered(message.tag).await;
        assert_eq!(delivery.await, DeliveryOutcome::Delivered);
    }
    assert_eq!(next().unwrap().await, DeliveryOutcome::Delivered);
    bridge.stop().await;
    assert_eq!(silent.await, DeliveryOutcome::NotDelivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_to_ourselves_are_never_missed() {
    let bridge = Bridge::start().await;
    let links = [bridge.own_link.id; 3];
    for _ in 0..2000 {
        for (_, delivery) in bridge.handle.broadcast(&links, nvec()).await {
            assert_eq!(delivery.unwrap().await, DeliveryOutcome::Delivered);
        }
    }
    bridge.stop().await;
}
