use halink::{
    BeIoErr, Epoch, FailureVecRep, FailureVecReq, Fid, HaState, Keepalive, LinkId, Malformed,
    Message, Note, NvecGet, NvecSet, ProcessEvent, ProcessStatus, ProcessType, RpcEvent,
    ServiceEvent, ServiceStatus, SnsErr, StobIoqError, Tag,
};

use crate::client::{Client, Payload};
use crate::fixture::{BRIDGE, Bridge, PROCESS};

const OBJECT: Fid = Fid::new(0x6b00_0000_0000_0001, 0x17);

fn event(event: u64, event_type: u64) -> Payload {
    Payload::default().u64(event).u64(event_type).u64(77)
}

fn nvec(nvec_type: u64, state: u32) -> Payload {
    Payload::default()
        .u64(nvec_type)
        .u64(100)
        .u64(1)
        .u32(1)
        .fid(OBJECT)
        .u32(state)
}

#[tokio::test]
async fn a_message_is_received_and_its_delivery_is_told() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await;
    let tag = client.message(7, PROCESS, &event(1, 3)).await;
    let received = bridge.received().await;
    assert_eq!((received.link, received.tag), (link.id, Tag(tag)));
    assert_eq!((received.fid, received.source_process), (PROCESS, PROCESS));
    assert_eq!(
        (received.source_service, received.epoch),
        (Fid::NIL, Epoch(3))
    );
    assert_eq!(received.time, 1_700_000_000_000_000_000);
    let status = ProcessStatus {
        event: ProcessEvent::Started,
        kind: ProcessType::M0d,
        pid: 77,
    };
    assert_eq!(received.message, Message::Process(status));
    received.delivered().await;
    assert_eq!(client.receive_delivered().await, tag);
    bridge.stop().await;
}

#[tokio::test]
async fn messages_are_delivered_in_any_order() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    bridge.connected().await;
    let mut received = Vec::new();
    for _ in 0..10 {
        client
            .message(9, PROCESS, &Payload::default().u64(1).u64(2))
            .await;
        received.push(bridge.received().await);
    }
    for received in received.into_iter().rev() {
        let tag = received.tag;
        received.delivered().await;
        assert_eq!(client.receive_delivered().await, tag.0);
    }
    bridge.stop().await;
}

#[tokio::test]
async fn every_message_arrives_as_what_it_is() {
    let pool = Fid::new(0x6f00_0000_0000_0001, 1);
    let cases = [
        (
            1,
            Payload::default()
                .fid(OBJECT)
                .fid(Fid::new(1, 2))
                .fid(Fid::new(3, 4))
                .u64(5)
                .u64(6)
                .u64(-7_i64 as u64)
                .u64(8)
                .u64(9)
                .u32(10),
            Message::StobIoq(StobIoqError {
                conf_sdev: OBJECT,
                stob_domain: Fid::new(1, 2),
                stob: Fid::new(3, 4),
                fd: 5,
                opcode: 6,
                rc: -7,
                offset: 8,
                size: 9,
                bshift: 10,
            }),
        ),
        (
            2,
            nvec(1, 77),
            Message::NvecGet(NvecGet {
                id: 100,
                objects: vec![OBJECT],
                ignore_same_state: true,
            }),
        ),
        (
            2,
            nvec(0, 3),
            Message::NvecSet(NvecSet {
                id_of_get: 100,
                ignore_same_state: true,
                notes: vec![Note {
                    object: OBJECT,
                    state: HaState::Transient,
                }],
            }),
        ),
        (
            3,
            Payload::default().fid(pool).u64(11).u64(12),
            Message::FailureVecReq(FailureVecReq {
                pool,
                cookie: [11, 12],
            }),
        ),
        (
            4,
            Payload::default()
                .fid(pool)
                .u64(11)
                .u64(12)
                .u32(1)
                .fid(OBJECT)
                .u32(2),
            Message::FailureVecRep(FailureVecRep {
                pool,
                cookie: [11, 12],
                nr: 1,
            }),
        ),
        (
            5,
            Payload::default().u64(1).u64(2),
            Message::KeepaliveReq(Keepalive {
                id: [1, 2],
                counter: 0,
            }),
        ),
        (
            6,
            Payload::default().u64(1).u64(2).u64(3),
            Message::KeepaliveRep(Keepalive {
                id: [1, 2],
                counter: 3,
            }),
        ),
        (
            8,
            event(4, 12),
            Message::Service(ServiceStatus {
                event: ServiceEvent::Failed,
                service_type: 12,
                pid: 77,
            }),
        ),
        (
            9,
            Payload::default().u64(1).u64(2),
            Message::Rpc(RpcEvent {
                attempts: 1,
                state: 2,
            }),
        ),
        (
            10,
            Payload::default().u32(5).u8(1).u8(2),
            Message::BeIoErr(BeIoErr {
                errcode: 5,
                location: 1,
                io_opcode: 2,
            }),
        ),
        (
            11,
            Payload::default().u32(5).u8(1),
            Message::SnsErr(SnsErr {
                errcode: 5,
                opcode: 1,
            }),
        ),
    ];
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    bridge.connected().await;
    for (msg_type, body, expected) in cases {
        client.message(msg_type, OBJECT, &body).await;
        let received = bridge.received().await;
        assert_eq!((received.fid, &received.message), (OBJECT, &expected));
        received.delivered().await;
        client.receive_delivered().await;
    }
    bridge.stop().await;
}

#[tokio::test]
async fn values_out_of_range_are_malformed_and_can_be_delivered() {
    let cases = [
        (7, event(99, 3), Malformed::ProcessEvent(99)),
        (7, event(1, u64::MAX), Malformed::ProcessType(u64::MAX)),
        (8, event(5, 0), Malformed::ServiceEvent(5)),
        (
            2,
            nvec(0, 77),
            Malformed::State {
                object: OBJECT,
                raw: 77,
            },
        ),
        (2, nvec(5, 1), Malformed::NvecType(5)),
    ];
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    bridge.connected().await;
    for (msg_type, body, reason) in cases {
        let tag = client.message(msg_type, OBJECT, &body).await;
        let received = bridge.received().await;
        let expected = Message::Malformed {
            msg_type: msg_type.into(),
            reason,
        };
        assert_eq!(received.message, expected);
        received.delivered().await;
        assert_eq!(client.receive_delivered().await, tag);
    }
    assert_eq!(bridge.handle.stats().callback_panics, 0);
    bridge.stop().await;
}

#[tokio::test]
async fn what_is_not_delivered_comes_again_after_a_restart() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await;
    let lost = client.message(7, PROCESS, &event(0, 3)).await;
    let kept = client.message(7, PROCESS, &event(1, 3)).await;
    let dropped = bridge.received().await;
    assert_eq!(dropped.tag, Tag(lost));
    drop(dropped);
    bridge.received().await.delivered().await;
    assert_eq!(client.receive_delivered().await, kept);
    let turn = bridge.stop().await;
    assert!(client.receive().await.is_none());
    assert_eq!(client.undelivered.len(), 1);

    let mut bridge = Bridge::start_in(turn).await;
    client.reconnect(&bridge.turn.socket).await;
    assert_eq!(client.entrypoint().await.status, crate::client::CONNECTED);
    let new_link = bridge.connected().await;
    assert!(new_link.id > link.id);
    client.resend().await;
    let again = bridge.received().await;
    assert_eq!((again.link, again.tag), (new_link.id, Tag(lost)));
    again.delivered().await;
    assert_eq!(client.receive_delivered().await, lost);
    assert!(client.undelivered.is_empty());
    bridge.stop().await;
}

#[tokio::test]
async fn a_message_may_outlive_its_link_and_the_interface() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    bridge.connected().await;
    client.message(7, PROCESS, &event(0, 3)).await;
    client.message(7, PROCESS, &event(1, 3)).await;
    let (first, second) = (bridge.received().await, bridge.received().await);
    // A frame of no known type costs the client its link.
    client.frame(9, &[]).await;
    assert!(client.receive().await.is_none());
    while !matches!(bridge.event().await, halink::Event::LinkDisconnected(id) if id == first.link) {
    }
    first.delivered().await;
    // Later commands are executed after it: the interface has survived.
    let error = bridge
        .handle
        .send_process_event(
            LinkId(u64::MAX),
            BRIDGE,
            &ProcessStatus {
                event: ProcessEvent::Started,
                kind: ProcessType::M0d,
                pid: 1,
            },
        )
        .await
        .unwrap_err();
    assert!(error.is_link_gone());
    bridge.stop().await;
    second.delivered().await;
}
