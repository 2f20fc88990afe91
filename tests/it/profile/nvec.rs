//! Answers to NVEC GET.

use consul_client::CheckStatus;
use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};

use super::{CONFD, IOS, all, fid, report, serf_health, start};
use crate::harness::{Cluster, Instance, process, service, soon};

#[tokio::test]
async fn nvec_get_is_answered_as_hare_does() {
    let (cluster, bridge) = start().await;
    let (confd, ios) = (bridge.sim(CONFD).await, bridge.sim(IOS).await);
    let sdev = before_key(&cluster, fid(FidType::Sdev, 1)).await;
    let ask = async |object: Fid| {
        let answer = soon("an answer", ios.nvec_get(&[object])).await.unwrap();
        assert_eq!(answer[0].object, object);
        HaState::from_raw(answer[0].state).unwrap()
    };
    assert_eq!(ask(process(IOS)).await, HaState::Transient);
    assert_eq!(ask(fid(FidType::Node, 0)).await, HaState::Transient);
    assert_eq!(ask(fid(FidType::Drive, 1)).await, HaState::Online);
    report(&confd, ProcessEvent::Started, ProcessType::M0d).await;
    report(&ios, ProcessEvent::Started, ProcessType::M0d).await;
    assert_eq!(ask(process(CONFD)).await, HaState::Online);
    assert_eq!(ask(process(IOS)).await, HaState::DtmRecovering);
    assert_eq!(ask(service(5)).await, HaState::DtmRecovering);
    assert_eq!(ask(fid(FidType::Node, 0)).await, HaState::DtmRecovering);
    assert_eq!(ask(fid(FidType::Drive, 1)).await, HaState::Online);
    report(&ios, ProcessEvent::DtmRecovered, ProcessType::M0d).await;
    assert_eq!(ask(service(5)).await, HaState::Online);
    assert_eq!(ask(fid(FidType::Node, 0)).await, HaState::Online);
    cluster
        .put(&sdev, r#"{"path": "/dev/vdc", "state": "repairing"}"#)
        .await;
    assert_eq!(ask(fid(FidType::Drive, 1)).await, HaState::Repair);
    let failing = Instance::new(IOS, "ios").with_status(CheckStatus::Warning);
    cluster.register_on("ssu1", failing).await;
    assert_eq!(ask(process(IOS)).await, HaState::Transient);
    assert_eq!(ask(process(CONFD)).await, HaState::Online);
    serf_health(&cluster, CheckStatus::Critical).await;
    assert_eq!(ask(process(CONFD)).await, HaState::Transient);
    assert_eq!(ask(process(0)).await, HaState::Online);
    assert_eq!(ask(process(999)).await, HaState::Online);
}

async fn before_key(cluster: &Cluster, object: Fid) -> String {
    let end = format!("/{object}");
    let all = all(cluster).await;
    let key = all.keys().find(|key| key.ends_with(&end)).unwrap();
    key.clone()
}
