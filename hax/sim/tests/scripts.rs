use halink::ProcessType;

use super::bridge::*;
use crate::sim::client::{Config, SimProcess};
use crate::sim::output::Output;
use crate::sim::script;
use crate::sim::script::run::{Runner, Stopped};
use crate::sim::wire::*;

/// Runs a script against a bridge that serves one connection after another.
async fn run(text: &str) -> (Option<Stopped>, Vec<Frame>) {
    let bridge = Bridge::new();
    let config = Config {
        hold_entrypoint: true,
        ..bridge.config()
    };
    let (process, _) = SimProcess::spawn(config);
    let (kind, output) = (ProcessType::M0d, Output::start(false).unwrap().0);
    let mut runner = Runner {
        process: process.clone(),
        kind,
        pid: 42,
        output,
        closes: 0,
    };
    let scripted = async {
        for step in script::parse(text).unwrap() {
            if let Err(stopped) = runner.step(step).await {
                return Some(stopped);
            }
        }
        None
    };
    let mut said = Vec::new();
    let played = async {
        loop {
            let mut peer = bridge.accept().await;
            while let Some(frame) = peer.try_recv().await {
                peer.serve(&frame).await;
                said.push(frame);
            }
        }
    };
    let stopped = tokio::select! {
        stopped = scripted => stopped,
        () = played => None,
    };
    (stopped, said)
}

#[tokio::test]
async fn every_message_a_script_can_send() {
    let text = "
        # What a process may report.
        entrypoint
        event STARTING M0MKFS
        event M0_CONF_HA_PROCESS_STARTED 3 0x7200000000000001:0x9
        service-event started ios 0x7300000000000001:6
        nvec-get 0x7200000000000001:3 0x7200000000000001:4
        nvec-get-range 0x6b00000000000001:1 3
        expect-state 0x6b00000000000001:0x3=ONLINE
        wait 0x6b00000000000001:0x2=M0_NC_ONLINE 5s
        nvec-set 0x6b00000000000001:1=failed
        failvec 0x6f00000000000001:1
        keepalive-req
        be-io-err 7
        sns-err
        stob-ioq 0x6400000000000001:1 -5
        rpc-event 0x7300000000000001:6 2 1
        expect-entrypoint rc=0 quorum=1 confds=1 rm=0x7300000000000001:4
        expect-link CONNECTED
        disconnect
        expect-link REUSED 500ms
        wait-message failure_vec_rep 1 5
        wait-delivered
        stop";
    let (stopped, said) = run(text).await;
    assert!(matches!(stopped, Some(Stopped::Stop)), "{stopped:?}");
    let mut names: Vec<&str> = Vec::new();
    for frame in &said {
        if let Frame::Msg(msg) = frame {
            names.push(msg.body.name());
        }
    }
    let want = [
        "event_process",
        "event_process",
        "event_service",
        "nvec_get",
        "nvec_get",
        "nvec_set",
        "failure_vec_req",
        "keepalive_req",
        "be_io_err",
        "sns_err",
        "stob_ioq",
        "event_rpc",
    ];
    names.dedup_by(|a, b| a == b && *a != "event_process" && *a != "nvec_get");
    assert_eq!(&names[..want.len()], want);
}

#[tokio::test]
async fn what_fails_says_what_it_waited_for() {
    let cases = [
        (
            "wait 0x6b00000000000001:1=online 0ms",
            "waited 0ns for 0x6b00000000000001:0x1=M0_NC_ONLINE",
        ),
        ("wait-message nvec_set 2 0", "waited 0ns for 2 of nvec_set"),
        (
            "expect-closed 0",
            "waited 0ns for the bridge to close a connection",
        ),
        (
            "expect-state 0x1:0x1=failed",
            "0x1:0x1 is not told, not M0_NC_FAILED",
        ),
        (
            "entrypoint\nexpect-entrypoint quorum=2",
            "entrypoint quorum is 1, not 2",
        ),
    ];
    for (text, want) in cases {
        match run(text).await.0 {
            Some(Stopped::Failed(reason)) => assert_eq!(reason, want),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_process_that_ends_ends_its_script() {
    let (stopped, _) = run("exit 9\nstop").await;
    assert!(matches!(stopped, Some(Stopped::Exit(9))), "{stopped:?}");
}
