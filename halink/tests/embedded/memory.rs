use halink::{FailureVec, NOTES_MAX};

use crate::client::{Client, Frame, Payload};
use crate::fixture::{Bridge, PROCESS};

const PAGE_KIB: u64 = 4;

/// Resident memory of this process, in KiB.
fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * PAGE_KIB
}

/// Each round is a message of 20 KiB in and one out, so that a leak of either would show as 200 MB.
async fn rounds(bridge: &mut Bridge, client: &mut Client, link: halink::LinkId, nr: usize) {
    let mut get = Payload::default()
        .u64(1)
        .u64(1)
        .u64(0)
        .u32(NOTES_MAX as u32);
    for key in 0..NOTES_MAX as u64 {
        get = get.u64(0x6b00_0000_0000_0001).u64(key).u32(0);
    }
    for _ in 0..nr {
        client.message(2, PROCESS, &get).await;
        let received = bridge.received().await;
        let vector = FailureVec::stub([1, 2]);
        let delivery = bridge.handle.send_failure_vec(link, &vector).await.unwrap();
        received.delivered().await;
        for _ in 0..2 {
            match client.receive().await {
                Some(Frame::Message(message)) => client.delivered(message.tag).await,
                Some(Frame::Delivered(_)) => {}
                other => panic!("neither message nor DELIVERED: {other:?}"),
            }
        }
        assert!(delivery.await.is_delivered());
    }
}

#[tokio::test]
async fn ten_thousand_messages_take_no_memory() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await.id;
    rounds(&mut bridge, &mut client, link, 500).await;
    let before = resident_kib();
    rounds(&mut bridge, &mut client, link, 10_000).await;
    let after = resident_kib();
    assert!(
        after < before + 4096,
        "{before} KiB before, {after} KiB after"
    );
    let stats = bridge.handle.stats();
    assert_eq!(
        (stats.events, stats.commands, stats.callback_panics),
        (0, 0, 0)
    );
    bridge.stop().await;
}
