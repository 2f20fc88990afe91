//! Bad frames on the ha_link: the link they came on is dropped, and nobody else notices.

use halink::{Fid, HaState, ProcessEvent, ProcessType};
use hax::sim::client::End;
use hax::sim::endpoint::Endpoint;
use hax::sim::wire::{Body, Frame, Msg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::harness::{Bridge, Cluster, process, soon};

/// A frame with this header and payload.
fn frame(magic: &[u8; 4], version: u16, kind: u16, length: u32, reserved: u32) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(reserved.to_le_bytes());
    bytes
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes).unwrap();
    bytes
}

fn message(tag: u64) -> Frame {
    Frame::Msg(Msg {
        tag,
        fid: Fid::NIL,
        source_process: Fid::NIL,
        source_service: Fid::NIL,
        time: 0,
        epoch: 0,
        body: Body::Rpc {
            attempts: 0,
            state: 0,
        },
    })
}

/// Every kind of bad frame of 6/WIRE, by what is wrong with it.
fn bad_frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut long = encoded(&Frame::Delivered(2));
    long[8] += 1;
    long.push(0);
    let mut short = encoded(&Frame::Delivered(2));
    short[8] -= 1;
    short.pop();
    let mut unknown_message = encoded(&message(1_000));
    // After the header and the tag.
    unknown_message[24] = 99;
    vec![
        ("magic", frame(b"HAXX", 1, 4, 8, 0)),
        ("version", frame(b"HAXL", 2, 4, 8, 0)),
        ("type", frame(b"HAXL", 1, 9, 8, 0)),
        ("length", frame(b"HAXL", 1, 4, 32_769, 0)),
        ("reserved", frame(b"HAXL", 1, 4, 8, 1)),
        ("payload too long", long),
        ("payload too short", short),
        ("message type", unknown_message),
        ("odd tag", encoded(&message(1_001))),
        ("tag 0", encoded(&message(0))),
        ("DELIVERED of nothing", encoded(&Frame::Delivered(4_711))),
        ("not a frame", vec![0xff; 64]),
    ]
}

#[tokio::test]
async fn a_bad_frame_drops_its_own_link_and_no_other() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let bystander = bridge.sim(3).await;
    let link = bystander.state().borrow().link;
    for (what, bytes) in bad_frames() {
        let sim = bridge.sim(2).await;
        sim.raw(bytes).await.unwrap();
        let end = soon(&format!("the link to be dropped: {what}"), sim.ended()).await;
        assert_eq!(end, End::Absent, "{what}");
    }
    bridge.wait_links(&[3]).await;
    let started = bystander.process_event(ProcessEvent::Started, ProcessType::M0d);
    soon("STARTED to be delivered", started.await.unwrap().wait())
        .await
        .unwrap();
    let answer = soon("a GET to be answered", bystander.nvec_get(&[process(3)])).await;
    assert_eq!(answer.unwrap()[0].state, HaState::Online.raw());
    assert_eq!(bystander.state().borrow().closes, 0);
    assert_eq!(bystander.state().borrow().link, link);
}

#[tokio::test]
async fn a_connection_that_begins_badly_is_closed_and_makes_no_link() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let Endpoint::Unix(path) = bridge.endpoint() else {
        panic!("the bridge listens on a Unix socket");
    };
    let before_a_link = [
        ("MSG", encoded(&message(2))),
        ("DELIVERED", encoded(&Frame::Delivered(1))),
    ];
    for (what, bytes) in bad_frames().into_iter().chain(before_a_link) {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        // A reset is an end as well.
        let _ = soon(&format!("the connection to be closed: {what}"), read).await;
        assert!(answer.is_empty(), "{what}: {answer:?}");
    }
    bridge.wait_links(&[]).await;
    let sim = bridge.sim(2).await;
    assert_eq!(sim.state().borrow().closes, 0);
}
