//! Messages that need no Consul: failure vectors, ignored ones, malformed ones.

use halink::{Fid, FidType, HaState, ServiceEvent};
use hax::sim::client::SimProcess;
use hax::sim::wire::{Body, ConfEvent, Msg, NVEC_GET, NVEC_SET, Note, StobIoq};

use crate::harness::{Bridge, Cluster, process, service, soon};

async fn send(sim: &SimProcess, fid: Fid, body: Body) {
    let name = body.name();
    let delivery = sim.send(sim.draft(fid, body)).await.unwrap();
    soon(&format!("{name} to be delivered"), delivery.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn failure_vectors_are_answered_with_the_empty_one_and_the_cookie() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let (sim, recorder) = bridge.recorded(2).await;
    let pool = Fid::typed(FidType::Pool, 1, 0);
    let request = Body::FailureVecReq {
        pool,
        cookie: [11, 12],
    };
    let reply = Body::FailureVecRep {
        pool,
        cookie: [u64::MAX, 0],
        notes: vec![Note {
            object: pool,
            state: HaState::Failed.raw(),
        }],
    };
    for (body, cookie) in [(request, [11, 12]), (reply, [u64::MAX, 0])] {
        send(&sim, Fid::NIL, body).await;
        let expected = Body::FailureVecRep {
            pool: Fid::new(0x6f00_0000_0000_0002, 9),
            cookie,
            notes: Vec::new(),
        };
        let answer = |msg: &Msg| (msg.body == expected).then_some(());
        recorder.wait_message("the failure vector", answer).await;
    }
    bridge.wait_counter("failure_vecs", 2).await;
    assert_eq!(recorder.messages().len(), 2);
}

#[tokio::test]
async fn what_5_hax_ignores_is_acknowledged_and_counted() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    // The bridge reports the events of its own services to itself.
    let own = bridge.counter("service_events").await;
    let (sim, recorder) = bridge.recorded(2).await;
    let error = StobIoq {
        conf_sdev: Fid::typed(FidType::Sdev, 1, 1),
        stob_domain: Fid::new(1, 2),
        stob: Fid::new(3, 4),
        fd: -1,
        opcode: 2,
        rc: -5,
        offset: u64::MAX,
        size: 4_096,
        bshift: 12,
    };
    send(&sim, Fid::NIL, Body::StobIoq(error)).await;
    let rpc = Body::Rpc {
        attempts: 3,
        state: 0,
    };
    send(&sim, service(3), rpc).await;
    for (fid, event) in [
        (Fid::NIL, ServiceEvent::Started),
        (service(5), ServiceEvent::Failed),
    ] {
        let event = ConfEvent {
            event: event.raw(),
            kind: 2,
            pid: 1,
        };
        send(&sim, fid, Body::Service(event)).await;
    }
    bridge.wait_counter("stob_ioq", 1).await;
    bridge.wait_counter("rpc_events", 1).await;
    bridge.wait_counter("service_events", own + 2).await;
    assert_eq!(recorder.messages(), []);
    assert_eq!(cluster.stored(2).await, None);
}

#[tokio::test]
async fn malformed_messages_are_acknowledged_and_counted_and_harm_nobody() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let (sim, recorder) = bridge.recorded(2).await;
    let nvec = |kind, state| Body::Nvec {
        kind,
        id_of_get: 9,
        ignore_same_state: 1,
        notes: vec![Note {
            object: process(2),
            state,
        }],
    };
    let event = |event, kind| ConfEvent {
        event,
        kind,
        pid: 1,
    };
    let malformed = [
        Body::Process(event(99, 3)),
        Body::Process(event(1, 77)),
        Body::Process(event(u64::MAX, u64::MAX)),
        Body::Service(event(99, 1)),
        nvec(NVEC_SET, 77),
        nvec(NVEC_SET, u32::MAX),
        nvec(5, 1),
    ];
    let count = malformed.len() as u64;
    for body in malformed {
        send(&sim, process(2), body).await;
    }
    bridge.wait_counter("malformed", count).await;
    assert_eq!(cluster.stored(2).await, None);
    assert_eq!(recorder.messages(), []);

    // What follows on the same link is handled.
    let answer = soon("a GET to be answered", sim.nvec_get(&[process(2)])).await;
    let online = Note {
        object: process(2),
        state: HaState::Online.raw(),
    };
    assert_eq!(answer.unwrap(), [online]);

    // States in a GET mean nothing.
    send(&sim, Fid::NIL, nvec(NVEC_GET, 77)).await;
    let by_id = |msg: &Msg| matches!(msg.body, Body::Nvec { id_of_get: 9, .. }).then_some(());
    recorder.wait_message("an answer", by_id).await;
    assert_eq!(bridge.counter("malformed").await, count);
}
