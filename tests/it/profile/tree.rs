//! Trees that are broken or large.

use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};
use hax::sim::wire::{Body, ConfEvent};

use super::{CLIENT, IOS, all, fid, report, start, told};
use crate::harness::{process, service, soon};

#[tokio::test]
async fn what_is_broken_in_the_tree_and_strangers_to_it_hold_nothing_up() {
    let (cluster, bridge) = start().await;
    let before = all(&cluster).await;
    let full = |object: Fid| {
        let end = format!("/{object}");
        before
            .keys()
            .find(|key| key.starts_with("m0conf/") && key.ends_with(&end))
            .unwrap()
    };
    cluster.put(full(fid(FidType::Sdev, 1)), "rubbish").await;
    let gone = full(fid(FidType::Controller, 0));
    cluster.client.kv().delete(gone).await.unwrap();
    let repaired = r#"{"path": "/dev/vdd", "state": "repaired", "more": [1, {"state": 2}]}"#;
    cluster.put(full(fid(FidType::Sdev, 2)), repaired).await;
    let node = r#"{ "uuid":"7", "state":"M0_NC_UNKNOWN", "name":"ssu1" }"#;
    cluster.put(full(fid(FidType::Node, 0)), node).await;

    let ios = bridge.sim(IOS).await;
    let stranger = ConfEvent {
        event: ProcessEvent::Started.raw(),
        kind: ProcessType::M0d.raw(),
        pid: 1,
    };
    let sent = ios
        .send(ios.draft(process(999), Body::Process(stranger)))
        .await;
    soon("the stranger's event", sent.unwrap().wait())
        .await
        .unwrap();
    report(&ios, ProcessEvent::Started, ProcessType::M0d).await;
    let after = all(&cluster).await;
    assert_eq!(after[full(fid(FidType::Sdev, 1))].0, "rubbish");
    assert_eq!(after[full(fid(FidType::Sdev, 2))].0, repaired);
    assert_eq!(
        after[full(fid(FidType::Node, 0))].0,
        r#"{ "uuid":"7", "state":"M0_NC_DTM_RECOVERING", "name":"ssu1" }"#
    );
    assert!(
        after[full(fid(FidType::Sdev, 3))]
            .0
            .contains("dtm_recovering")
    );
    assert!(!after.contains_key(gone), "what is gone is not made again");
    assert!(cluster.stored(999).await.unwrap().contains("STARTED"));
    assert_eq!(bridge.counter("final_errors").await, 0);
}

#[tokio::test]
async fn an_event_of_many_drives_has_its_status_in_the_last_transaction() {
    let (cluster, bridge) = start().await;
    let before = all(&cluster).await;
    let parent = |object: Fid| {
        let end = format!("/{object}");
        before
            .keys()
            .find(|key| key.starts_with("m0conf/") && key.ends_with(&end))
            .unwrap()
    };
    let (service, controller) = (parent(service(5)), parent(fid(FidType::Controller, 0)));
    for key in 100..255 {
        let (sdev, drive) = (fid(FidType::Sdev, key), fid(FidType::Drive, key));
        let value = r#"{"path": "/dev/x", "state": "M0_NC_UNKNOWN"}"#;
        cluster.put(&format!("{service}/sdevs/{sdev}"), value).await;
        let value = format!(r#"{{"sdev": "{sdev}", "state": "M0_NC_UNKNOWN"}}"#);
        cluster
            .put(&format!("{controller}/drives/{drive}"), &value)
            .await;
    }
    bridge
        .wait_status("the view with all drives", |status| {
            status["consul"]["objects"].as_u64().unwrap() >= 130 + 2 * 155
        })
        .await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let ios = bridge.sim(IOS).await;
    report(&ios, ProcessEvent::Started, ProcessType::M0d).await;
    let after = all(&cluster).await;
    let status = after[&format!("processes/{}", process(IOS))].1;
    let sdevs = after.iter().filter(|(key, _)| key.contains("/sdevs/"));
    let mut indices = Vec::new();
    for (key, (value, index)) in sdevs.filter(|(key, _)| key.starts_with(service)) {
        assert!(value.contains("\"dtm_recovering\""), "{key} {value}");
        assert!(*index <= status, "{key} was written after the status");
        indices.push(*index);
    }
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), 3, "transactions");
    assert_eq!(after[parent(process(IOS))].1, status);
    assert_eq!(after[controller].1, status);
    let notes = told(&heard, 22 + 155, 0).await;
    assert_eq!(
        notes.last(),
        Some(&(fid(FidType::Enclosure, 0), HaState::DtmRecovering))
    );
}
