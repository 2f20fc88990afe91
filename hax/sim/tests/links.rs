use std::time::Duration;

use halink::{Fid, HaState, ProcessEvent, ProcessType};
use tokio::net::UnixListener;

use super::bridge::*;
use crate::sim::client::{Config, End, Event, SimProcess};
use crate::sim::link::{LinkError, UNACKED_MAX};
use crate::sim::wire::*;

const STARTED: (ProcessEvent, ProcessType) = (ProcessEvent::Started, ProcessType::M0d);
const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn what_is_not_delivered_is_sent_again_after_a_reconnect() {
    let bridge = Bridge::new();
    let (sim, mut events) = SimProcess::spawn(bridge.config());
    let mut peer = bridge.accept().await;
    let first = peer.bind(LinkStatus::Connected, 7).await;
    assert!(first.first && first.process == PROCESS && first.pid == 42);
    let one = sim.process_event(STARTED.0, STARTED.1).await.unwrap();
    let two = sim.process_event(STARTED.0, STARTED.1).await.unwrap();
    assert_eq!((one.tag, two.tag), (2, 4));
    assert_eq!(peer.message().await.tag, 2);
    assert_eq!(peer.message().await.tag, 4);
    peer.send(&Frame::Delivered(4)).await;
    two.wait().await.unwrap();
    drop(peer);

    let mut peer = bridge.accept().await;
    let again = peer.bind(LinkStatus::Reused, 7).await;
    assert_eq!((again.first, again.instance, again.link), (false, 7, 1));
    assert_eq!(peer.message().await.tag, 2);
    peer.send(&Frame::Delivered(2)).await;
    one.wait().await.unwrap();
    sim.wait_all_delivered().await.unwrap();
    assert_eq!(sim.close().await, End::Closed);
    let mut names = Vec::new();
    while let Some(event) = events.recv().await {
        names.push(match event {
            Event::Connected => "connected",
            Event::Disconnected(_) => "disconnected",
            Event::Link { status, .. } => status.name(),
            Event::Delivered { .. } => "delivered",
            Event::Ended(End::Closed) => "closed",
            _ => continue,
        });
    }
    let want = [
        "connected",
        "CONNECTED",
        "delivered",
        "disconnected",
        "connected",
        "REUSED",
        "delivered",
        "closed",
    ];
    assert_eq!(names, want);
}

#[tokio::test]
async fn another_run_of_the_bridge_gets_the_undelivered_and_numbers_anew() {
    let bridge = Bridge::new();
    let (sim, _) = SimProcess::spawn(bridge.config());
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Connected, 7).await;
    let tag = peer.set(PROCESS, 3).await;
    assert_eq!(peer.recv().await, Frame::Delivered(tag));
    let event = sim.process_event(STARTED.0, STARTED.1).await.unwrap();
    assert_eq!(peer.message().await.tag, 2);
    drop(peer);

    let mut peer = bridge.accept().await;
    assert!(!peer.bind(LinkStatus::Connected, 8).await.first);
    assert_eq!(peer.message().await.tag, 2);
    peer.send(&Frame::Delivered(2)).await;
    event.wait().await.unwrap();
    // The tag of the earlier run once more, for something new.
    let tag = peer.set(PROCESS, 1).await;
    assert_eq!((tag, peer.recv().await), (1, Frame::Delivered(1)));
    sim.wait_state(PROCESS, HaState::Online).await.unwrap();
}

#[tokio::test]
async fn a_message_received_twice_is_handled_once_and_acknowledged_twice() {
    let bridge = Bridge::new();
    let (sim, _) = SimProcess::spawn(bridge.config());
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Connected, 7).await;
    peer.set(PROCESS, 3).await;
    peer.next_tag = 1;
    peer.set(PROCESS, 2).await;
    peer.set(CONFD, 1).await;
    for tag in [1, 1, 3] {
        assert_eq!(peer.recv().await, Frame::Delivered(tag));
    }
    sim.wait_state(CONFD, HaState::Online).await.unwrap();
    let state = sim.state();
    assert_eq!(state.borrow().objects[&PROCESS], 3);
    assert_eq!(state.borrow().received["nvec_set"], 2);
}

#[tokio::test]
async fn delivery_by_hand() {
    let bridge = Bridge::new();
    let config = Config {
        auto_deliver: false,
        ..bridge.config()
    };
    let (sim, mut events) = SimProcess::spawn(config);
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Connected, 7).await;
    peer.set(PROCESS, 3).await;
    peer.set(PROCESS, 1).await;
    let mut received = Vec::new();
    while received.len() < 2 {
        if let Some(Event::Received(r)) = events.recv().await {
            received.push(r);
        }
    }
    for which in [1, 0, 0] {
        sim.delivered(&received[which]).await.unwrap();
    }
    assert_eq!(peer.recv().await, Frame::Delivered(3));
    assert_eq!(peer.recv().await, Frame::Delivered(1));
    sim.close().await;
    assert_eq!(
        peer.try_recv().await,
        None,
        "the third call was for nothing"
    );
}

#[tokio::test]
async fn absent_ends_the_process_and_all_that_waits() {
    let bridge = Bridge::new();
    let (sim, _) = SimProcess::spawn(bridge.config());
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Connected, 7).await;
    let event = sim.process_event(STARTED.0, STARTED.1).await.unwrap();
    drop(peer);
    let mut peer = bridge.accept().await;
    let get = [PROCESS];
    let (_, get) = tokio::join!(peer.bind(LinkStatus::Absent, 7), sim.nvec_get(&get));
    assert_eq!(get, Err(End::Absent));
    assert_eq!(event.wait().await, Err(End::Absent));
    assert_eq!(sim.entrypoint().await, Err(End::Absent));
    assert_eq!(sim.wait_all_delivered().await, Err(End::Absent));
    assert_eq!(peer.try_recv().await, None);
}

#[tokio::test]
async fn a_bad_frame_ends_the_process() {
    let nil = Fid::NIL;
    let even = crate::sim::link::draft(
        nil,
        nil,
        nil,
        0,
        Body::Rpc {
            attempts: 0,
            state: 0,
        },
    );
    let mut even_bytes = Vec::new();
    Frame::Msg(Msg { tag: 2, ..even })
        .encode(&mut even_bytes)
        .unwrap();
    let cases = [
        (
            b"HTTP/1.1 200 OK\r\n".to_vec(),
            LinkError::Wire(WireError::Magic(*b"HTTP")),
        ),
        (even_bytes, LinkError::Tag(2)),
    ];
    for (bytes, error) in cases {
        let bridge = Bridge::new();
        let (sim, _) = SimProcess::spawn(bridge.config());
        let mut peer = bridge.accept().await;
        peer.bind(LinkStatus::Connected, 7).await;
        peer.bytes(&bytes).await;
        assert_eq!(sim.ended().await, End::BadFrame(error));
        assert_eq!(peer.try_recv().await, None);
    }
}

#[tokio::test]
async fn rc_other_than_0_is_asked_again_at_once() {
    let bridge = Bridge::new();
    let (sim, _) = SimProcess::spawn(bridge.config());
    let mut peer = bridge.accept().await;
    let first = peer.request().await;
    peer.reply(first.seq, -11, LinkStatus::Connected, 7).await;
    for _ in 0..3 {
        let next = peer.request().await;
        assert!(!next.first, "a reply binds the link whatever its rc");
        peer.reply(next.seq, -11, LinkStatus::Reused, 7).await;
    }
    let last = peer.request().await;
    peer.reply(last.seq, 0, LinkStatus::Reused, 7).await;
    sim.ready().await.unwrap();
    assert_eq!(sim.state().borrow().again, 4);

    let once = async {
        let rep = sim.entrypoint_once().await.unwrap();
        assert_eq!(rep.rc, -11);
        sim.process_event(STARTED.0, STARTED.1).await.unwrap();
    };
    let played = async {
        let req = peer.request().await;
        peer.reply(req.seq, -11, LinkStatus::Reused, 7).await;
        assert_eq!(peer.message().await.tag, 2);
    };
    tokio::join!(once, played);
}

#[tokio::test]
async fn a_request_survives_its_connection() {
    let bridge = Bridge::new();
    let (sim, _) = SimProcess::spawn(bridge.config());
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Connected, 7).await;
    let played = async {
        let lost = peer.request().await;
        drop(peer);
        let mut peer = bridge.accept().await;
        assert_eq!(peer.bind(LinkStatus::Reused, 7).await.seq, lost.seq);
    };
    let (rep, ()) = tokio::join!(sim.entrypoint(), played);
    assert_eq!(rep.unwrap().status, LinkStatus::Reused);
}

#[tokio::test]
async fn a_bridge_that_comes_later_is_waited_for() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("ha");
    let (sim, _) = SimProcess::spawn(config(path.clone()));
    let listener = UnixListener::bind(&path).unwrap();
    listener.accept().await.unwrap();
    sim.wait(|s| s.connected).await.unwrap();
}

#[tokio::test]
async fn a_bridge_that_does_not_come_is_waited_for_only_so_long() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = Config {
        connect_timeout: NOW,
        ..config(dir.path().join("ha"))
    };
    let end = SimProcess::connect(config).await.err();
    assert!(
        matches!(end, Some(End::ConnectTimeout { seconds: 0, .. })),
        "{end:?}"
    );
}

#[tokio::test]
async fn raw_bytes_go_between_frames_in_order() {
    let bridge = Bridge::new();
    let config = Config {
        hold_entrypoint: true,
        ..bridge.config()
    };
    let (sim, _) = SimProcess::spawn(config);
    sim.raw(vec![0xff; 5]).await.unwrap();
    let mut peer = bridge.accept().await;
    let asked = sim.clone();
    let asked = tokio::spawn(async move { asked.entrypoint().await });
    let mut got = Vec::new();
    while got.len() < 9 {
        got.extend(peer.take_bytes().await);
    }
    assert_eq!(&got[..9], b"\xff\xff\xff\xff\xffHAXL");
    drop(peer);
    // The request is asked again; the raw bytes are not.
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Connected, 7).await;
    asked.await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_a_connection_oneself() {
    let bridge = Bridge::new();
    let (sim, _) = SimProcess::spawn(bridge.config());
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Connected, 7).await;
    sim.ready().await.unwrap();
    sim.disconnect(NOW).await.unwrap();
    assert_eq!(peer.try_recv().await, None);
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Reused, 7).await;
    sim.wait(|s| s.connects == 2 && s.link.is_some_and(|l| l.0 == LinkStatus::Reused))
        .await
        .unwrap();
    assert_eq!(sim.state().borrow().closes, 0, "the bridge closed nothing");
}

#[tokio::test]
async fn keepalives_are_answered() {
    let bridge = Bridge::new();
    let (_sim, _) = SimProcess::spawn(bridge.config());
    let mut peer = bridge.accept().await;
    peer.bind(LinkStatus::Connected, 7).await;
    for counter in 1..3 {
        let tag = peer.send_body(Body::KeepaliveReq { id: [8, 9] }).await;
        let msg = peer.message().await;
        assert_eq!(
            msg.body,
            Body::KeepaliveRep {
                id: [8, 9],
                counter
            }
        );
        assert_eq!(peer.recv().await, Frame::Delivered(tag));
    }
}

#[tokio::test]
async fn more_messages_than_a_link_holds() {
    const MESSAGES: u64 = UNACKED_MAX as u64 + 500;
    let bridge = Bridge::new();
    let (sim, _) = SimProcess::spawn(bridge.config());
    let played = async {
        let mut peer = bridge.accept().await;
        peer.bind(LinkStatus::Connected, 7).await;
        // Nothing is acknowledged before the link is full.
        for n in 1..=UNACKED_MAX as u64 {
            assert_eq!(peer.message().await.tag, 2 * n);
        }
        assert_eq!(sim.state().borrow().unacked, UNACKED_MAX);
        for n in 1..=UNACKED_MAX as u64 {
            peer.send(&Frame::Delivered(2 * n)).await;
        }
        while let Some(frame) = peer.try_recv().await {
            peer.serve(&frame).await;
        }
    };
    let sent = async {
        for _ in 0..MESSAGES {
            sim.process_event(STARTED.0, STARTED.1).await.unwrap();
        }
        sim.wait_all_delivered().await.unwrap();
        sim.close().await
    };
    let ((), end) = tokio::join!(played, sent);
    assert_eq!(end, End::Closed);
}

#[tokio::test]
async fn a_bridge_that_closes_every_connection_is_not_flooded() {
    let bridge = Bridge::new();
    let began = std::time::Instant::now();
    let (_sim, _) = SimProcess::spawn(bridge.config());
    for _ in 0..5 {
        drop(bridge.accept().await);
    }
    // 20, 40, 80 and 160 ms, and jitter on top.
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_hundred_links_in_one_process() {
    const LINKS: usize = 100;
    let bridge = Bridge::new();
    let server = async {
        let mut peers = tokio::task::JoinSet::new();
        for _ in 0..LINKS {
            let mut peer = bridge.accept().await;
            peers.spawn(async move {
                while let Some(frame) = peer.try_recv().await {
                    peer.serve(&frame).await;
                }
            });
        }
        peers.join_all().await
    };
    let clients = async {
        let mut sims = tokio::task::JoinSet::new();
        for _ in 0..LINKS {
            let config = bridge.config();
            sims.spawn(async move {
                let sim = SimProcess::connect(config).await.unwrap();
                for _ in 0..10 {
                    sim.process_event(STARTED.0, STARTED.1).await.unwrap();
                    assert_eq!(sim.nvec_get(&[PROCESS]).await.unwrap().len(), 1);
                }
                sim.wait_all_delivered().await.unwrap();
                sim.close().await
            });
        }
        sims.join_all().await
    };
    let (ends, _) = tokio::join!(clients, server);
    assert_eq!(ends, vec![End::Closed; LINKS]);
}
