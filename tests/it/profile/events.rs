//! What events of processes write and tell.

use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};

use super::{
    CLIENT, CONFD, IOS, all, fid, notes_of_ios, of_ios, report, start, status, told, written,
};
use crate::harness::{process, service};

#[tokio::test]
async fn a_life_cycle_writes_and_tells_what_hare_does_each_event_in_one_transaction() {
    let (cluster, bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let confd = bridge.sim(CONFD).await;
    let ios = bridge.sim(IOS).await;
    let own = format!("processes/{}", process(0));
    let mut before = all(&cluster).await;
    assert_eq!(before[&own].0, status("DTM_RECOVERED", "HA"));

    report(&confd, ProcessEvent::Starting, ProcessType::M0d).await;
    let after = all(&cluster).await;
    assert_eq!(
        written(&before, &after).len(),
        2,
        "the status and its alias"
    );
    assert_eq!(heard.notes(), []);
    before = after;

    report(&confd, ProcessEvent::Started, ProcessType::M0d).await;
    let after = all(&cluster).await;
    let changed = written(&before, &after);
    let key = |object: Fid| object.to_string();
    assert_eq!(
        changed[&format!("processes/{}", process(CONFD))],
        status("DTM_RECOVERED", "M0D")
    );
    assert_eq!(
        changed[&key(process(CONFD))],
        r#"{"name": "m0_server", "state": "online"}"#
    );
    assert_eq!(
        changed[&key(service(3))],
        r#"{"name": "confd", "state": "online"}"#
    );
    assert_eq!(
        changed[&key(fid(FidType::Node, 0))],
        r#"{"name": "ssu1", "state": "M0_NC_ONLINE"}"#
    );
    assert_eq!(
        changed.len(),
        7,
        "two statuses, process, two services, node, enclosure"
    );
    let objects = [
        process(CONFD),
        service(2),
        service(3),
        fid(FidType::Node, 0),
        fid(FidType::Enclosure, 0),
    ];
    assert_eq!(
        told(&heard, 5, 0).await,
        objects.map(|object| (object, HaState::Online))
    );
    before = after;

    let mut notes = 5;
    for (event, name, word, drives, around, state, of_drives) in [
        (
            ProcessEvent::Started,
            "STARTED",
            "dtm_recovering",
            "dtm_recovering",
            "M0_NC_DTM_RECOVERING",
            HaState::DtmRecovering,
            HaState::Online,
        ),
        (
            ProcessEvent::DtmRecovered,
            "DTM_RECOVERED",
            "online",
            "online",
            "M0_NC_ONLINE",
            HaState::Online,
            HaState::Online,
        ),
        (
            ProcessEvent::Stopped,
            "STOPPED",
            "failed",
            "offline",
            "M0_NC_FAILED",
            HaState::Failed,
            HaState::Transient,
        ),
    ] {
        report(&ios, event, ProcessType::M0d).await;
        let after = all(&cluster).await;
        assert_eq!(
            written(&before, &after),
            of_ios(name, word, drives, around),
            "{event}"
        );
        assert_eq!(
            told(&heard, 22, notes).await,
            notes_of_ios(state, of_drives),
            "{event}"
        );
        notes += 22;
        before = after;
    }
    // The link of a process that has stopped is dropped, and of no other.
    bridge.wait_links(&[CONFD, CLIENT]).await;
}

#[tokio::test]
async fn m0mkfs_changes_and_tells_nothing_but_its_status() {
    let (cluster, bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let ios = bridge.sim(IOS).await;
    for (event, name) in [
        (ProcessEvent::Started, "STARTED"),
        (ProcessEvent::Stopped, "STOPPED"),
    ] {
        let before = all(&cluster).await;
        report(&ios, event, ProcessType::M0mkfs).await;
        let changed = written(&before, &all(&cluster).await);
        assert_eq!(changed.len(), 2);
        assert_eq!(
            changed[&format!("processes/{}", process(IOS))],
            status(name, "M0MKFS")
        );
    }
    bridge.wait_links(&[CLIENT]).await;
    assert_eq!(heard.notes(), []);
}
