//! What other bridges write, and what checks say.

use consul_client::CheckStatus;
use halink::{FidType, HaState, ProcessEvent, ProcessType};

use super::{CLIENT, IOS, all, fid, notes_of_ios, of_ios, report, start, status, told, written};
use crate::harness::{Instance, process};

#[tokio::test]
async fn what_a_bridge_of_another_node_writes_is_told_here() {
    let (cluster, bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    bridge.wait_known(0, "DTM_RECOVERED").await;
    // Process 7 is the ios of ssu2.
    let key = format!("processes/{}", process(7));
    for (event, state) in [
        ("STARTING", None),
        ("STARTED", Some(HaState::DtmRecovering)),
        ("DTM_RECOVERED", Some(HaState::Online)),
        ("STOPPED", Some(HaState::Failed)),
    ] {
        let before = (heard.notes().len(), all(&cluster).await);
        cluster.put(&key, &status(event, "M0D")).await;
        bridge.wait_known(7, event).await;
        if let Some(state) = state {
            let notes = told(&heard, 22, before.0).await;
            assert_eq!(notes[0], (process(7), state));
            assert_eq!(notes[21], (fid(FidType::Enclosure, 1), state));
        }
        let changed = written(&before.1, &all(&cluster).await);
        assert_eq!(
            changed.len(),
            1,
            "whose bridge has written it keeps the states"
        );
    }
}

#[tokio::test]
async fn a_check_that_does_not_pass_makes_a_process_offline_once() {
    let (cluster, bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let ios = bridge.sim(IOS).await;
    let post = async || {
        let payload = cluster.service_payload("ios").await;
        let (code, outcome) = bridge.post("/", payload).await;
        assert_eq!(code, 200, "{outcome}");
        outcome["notes"].as_u64().unwrap()
    };
    let failing = Instance::new(IOS, "ios").with_status(CheckStatus::Warning);
    cluster.register_on("ssu1", failing).await;
    assert_eq!(post().await, 0, "its type is not known");
    report(&ios, ProcessEvent::Started, ProcessType::M0mkfs).await;
    assert_eq!(post().await, 0, "m0mkfs");
    report(&ios, ProcessEvent::DtmRecovered, ProcessType::M0d).await;
    assert_eq!(post().await, 0, "the check is older than its own word");
    for status in [CheckStatus::Passing, CheckStatus::Warning] {
        let checked = Instance::new(IOS, "ios").with_status(status);
        cluster.register_on("ssu1", checked).await;
    }
    let before = (heard.notes().len(), all(&cluster).await);
    assert_eq!(post().await, 22);
    let changed = written(&before.1, &all(&cluster).await);
    assert_eq!(
        changed,
        of_ios("STOPPED", "offline", "offline", "M0_NC_TRANSIENT")
    );
    let notes = told(&heard, 22, before.0).await;
    assert_eq!(notes, notes_of_ios(HaState::Transient, HaState::Transient));
    assert_eq!(post().await, 0, "it is said to have stopped");
    // It was not dead after all, and keeps its link.
    report(&ios, ProcessEvent::DtmRecovered, ProcessType::M0d).await;
    cluster.register_on("ssu1", Instance::new(IOS, "ios")).await;
    assert_eq!(post().await, 0, "a check that passes says nothing");
    bridge.wait_links(&[IOS, CLIENT]).await;
}
