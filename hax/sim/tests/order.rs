use halink::{Fid, FidType, ProcessEvent, ProcessType, ServiceEvent};

use super::bridge::*;
use crate::sim::client::SimProcess;
use crate::sim::process::{self, Profile};
use crate::sim::service::{self, Service};
use crate::sim::wire::*;

fn profile(kind: ProcessType, confd: bool, services: &[&str]) -> Profile {
    let services: Vec<Service> = services.iter().map(|text| text.parse().unwrap()).collect();
    let pools = (1..=3)
        .map(|key| Fid::typed(FidType::Pool, 1, key))
        .collect();
    let objects = (1..=53)
        .map(|key| Fid::typed(FidType::Objv, 1, key))
        .collect();
    Profile {
        kind,
        confd,
        services,
        pools,
        objects,
    }
}

fn short(frame: &Frame) -> Option<String> {
    let msg = match frame {
        Frame::EntrypointReq(req) => return Some(format!("entrypoint {}", u8::from(req.first))),
        Frame::Msg(msg) => msg,
        _ => return None,
    };
    Some(match &msg.body {
        Body::Process(e) => {
            assert!(msg.fid == PROCESS && msg.source_process.is_nil() && e.pid == 42);
            let event = ProcessEvent::from_raw(e.event).unwrap().to_string();
            let kind = ProcessType::from_raw(e.kind).unwrap().to_string();
            format!("{} {}", &event[19..], &kind[19..])
        }
        Body::Service(e) => {
            assert!(msg.source_process == PROCESS && msg.source_service == msg.fid);
            let event = ServiceEvent::from_raw(e.event).unwrap().to_string();
            format!(
                "{} {} {:x}",
                &event[19..],
                service::name(e.kind),
                msg.fid.key()
            )
        }
        Body::Nvec {
            kind: NVEC_GET,
            id_of_get,
            notes,
            ..
        } => {
            assert!(notes.iter().all(|note| note.state == 0));
            format!("get {id_of_get} nr={}", notes.len())
        }
        Body::FailureVecReq { pool, .. } => format!("pool {}", pool.key()),
        other => panic!("{other:?}"),
    })
}

/// What a process says until it has been told that everything is delivered.
async fn transcript(profile: Profile) -> Vec<String> {
    let bridge = Bridge::new();
    let (sim, _) = SimProcess::spawn(bridge.config());
    let whole = async {
        process::start(&sim, &profile).await.unwrap();
        process::stop(&sim, &profile).await.unwrap();
        sim.wait_all_delivered().await.unwrap();
        sim.close().await;
    };
    let played = async {
        let mut peer = bridge.accept().await;
        let mut said = Vec::new();
        let mut tag = 0;
        while let Some(frame) = peer.try_recv().await {
            said.extend(short(&frame));
            if let Frame::Msg(msg) = &frame {
                tag += 2;
                assert_eq!(msg.tag, tag);
            }
            peer.serve(&frame).await;
        }
        said
    };
    tokio::join!(whole, played).1
}

/// `a+z` stands for STARTING and STARTED, `a-z` for STOPPING and STOPPED.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(' ') {
            Some(("up", rest)) => {
                lines.extend([format!("STARTING {rest}"), format!("STARTED {rest}")]);
            }
            Some(("down", rest)) => {
                lines.extend([format!("STOPPING {rest}"), format!("STOPPED {rest}")]);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

#[tokio::test]
async fn m0mkfs_of_a_confd() {
    let confd = ["confd:0x7300000000000001:3", "rms:0x7300000000000001:4"];
    let said = transcript(profile(ProcessType::M0mkfs, true, &confd)).await;
    let want = "
        entrypoint 1
        STARTING M0MKFS
        up UNKNOWN 0
        up UNKNOWN 0
        STARTED M0MKFS
        STOPPING M0MKFS
        down UNKNOWN 0
        STOPPED M0MKFS";
    assert_eq!(said, lines(want));
}

#[tokio::test]
async fn m0d_of_a_confd() {
    let confd = ["confd:0x7300000000000001:3", "rms:0x7300000000000001:4"];
    let said = transcript(profile(ProcessType::M0d, true, &confd)).await;
    let want = "
        entrypoint 1
        STARTING M0D
        up UNKNOWN 0
        up UNKNOWN 0
        pool 1
        pool 2
        pool 3
        up SSS 0
        up UNKNOWN 0
        up FDMI 0
        up CONFD 3
        up RMS 4
        get 103 nr=53
        STARTED M0D
        STOPPING M0D
        STOPPING RMS 4
        STOPPING CONFD 3
        STOPPING FDMI 0
        STOPPING UNKNOWN 0
        STOPPING SSS 0
        STOPPING UNKNOWN 0
        STOPPING UNKNOWN 0
        STOPPING UNKNOWN 0
        STOPPING UNKNOWN 0
        STOPPING UNKNOWN 0
        STOPPED M0D";
    assert_eq!(said, lines(want));
}

#[tokio::test]
async fn m0mkfs_of_an_ios() {
    let said = transcript(profile(
        ProcessType::M0mkfs,
        false,
        &["cas:0x7300000000000001:7"],
    ))
    .await;
    let want = "
        entrypoint 1
        STARTING M0MKFS
        entrypoint 0
        get 100 nr=3
        up UNKNOWN 0
        up UNKNOWN 0
        STARTED M0MKFS
        up CAS 7
        up FDMI 0
        pool 1
        pool 2
        pool 3
        down CAS 7
        down FDMI 0
        STOPPING M0MKFS
        down UNKNOWN 0
        STOPPED M0MKFS";
    assert_eq!(said, lines(want));
}

#[tokio::test]
async fn m0d_of_an_ios() {
    let ios = ["ios:0x7300000000000001:6", "rms:0x7300000000000001:5"];
    let said = transcript(profile(ProcessType::M0d, false, &ios)).await;
    let want = "
        entrypoint 1
        STARTING M0D
        entrypoint 0
        get 100 nr=3
        up UNKNOWN 0
        up UNKNOWN 0
        pool 1
        pool 2
        pool 3
        up SSS 0
        up UNKNOWN 0
        up FDMI 0
        up IOS 6
        up RMS 5
        get 104 nr=53
        STARTED M0D
        STOPPING M0D
        STOPPING RMS 5
        STOPPING IOS 6
        STOPPING FDMI 0
        STOPPING UNKNOWN 0
        STOPPING SSS 0
        STOPPING UNKNOWN 0
        STOPPING UNKNOWN 0
        STOPPING UNKNOWN 0
        STOPPING UNKNOWN 0
        STOPPING UNKNOWN 0
        STOPPED M0D";
    assert_eq!(said, lines(want));
}

#[tokio::test]
async fn a_client() {
    let said = transcript(profile(
        ProcessType::Other,
        false,
        &["rms:0x7300000000000001:b"],
    ))
    .await;
    let want = "
        entrypoint 1
        STARTING OTHER
        entrypoint 0
        get 100 nr=3
        get 101 nr=53
        pool 1
        pool 2
        pool 3
        up RMS b
        STARTED OTHER
        STOPPING OTHER
        STOPPED OTHER";
    assert_eq!(said, lines(want));
}
