//! Leader election.

use std::time::Duration;

use consul_client::{Behavior, CheckStatus, SessionInfo};

use crate::harness::{Bridge, Cluster, Instance, Settings, Until, eventually};

/// The session that holds `leader`, and the key's value.
async fn leader(cluster: &Cluster) -> Option<(SessionInfo, String)> {
    let pair = cluster.get("leader").await?;
    let session = pair.session.clone()?;
    let info = cluster
        .client
        .session()
        .info(&session)
        .await
        .unwrap()
        .value?;
    Some((info, pair.text().unwrap().to_owned()))
}

async fn wait_leader(cluster: &Cluster) -> (SessionInfo, String) {
    eventually("a leader", async || leader(cluster).await).await
}

async fn wait_no_leader(cluster: &Cluster) {
    let gone = async || cluster.get("leader").await?.session.is_none().then_some(());
    eventually("the lock to be free", gone).await;
}

async fn wait_standing(bridge: &Bridge, standing: &str) {
    bridge
        .wait_status(&format!("the node to be {standing}"), |status| {
            status["leader"]["standing"] == standing
        })
        .await;
}

#[tokio::test]
async fn a_node_leads_only_while_its_confd_passes() {
    let cluster = Cluster::small(1).await;
    cluster.set_check(1, CheckStatus::Critical).await;
    let settings = Settings::default().until(Until::Running);
    let bridge = Bridge::start_with(&cluster, settings).await;
    wait_standing(&bridge, "ineligible").await;
    assert!(cluster.get("leader").await.is_none());

    cluster.set_check(1, CheckStatus::Passing).await;
    let (session, value) = wait_leader(&cluster).await;
    assert_eq!(value, cluster.node);
    assert_eq!(session.node, cluster.node);
    assert_eq!(session.behavior, Behavior::Release);
    assert_eq!(session.node_checks, ["serfHealth"]);
    let mut bound = session.service_checks.clone();
    bound.sort();
    assert_eq!(bound, ["service:0", "service:1"]);
    wait_standing(&bridge, "leader").await;

    cluster.set_check(1, CheckStatus::Critical).await;
    wait_no_leader(&cluster).await;
    wait_standing(&bridge, "ineligible").await;

    cluster.set_check(1, CheckStatus::Passing).await;
    let (again, value) = wait_leader(&cluster).await;
    assert_eq!(value, cluster.node);
    assert_ne!(again.id, session.id);
    wait_standing(&bridge, "leader").await;
    let status = bridge.status().await;
    assert_eq!(status["leader"]["node"], cluster.node);
    assert_eq!(status["leader"]["session"], again.id.to_string());
}

#[tokio::test]
async fn a_confd_of_another_node_does_not_make_this_one_eligible() {
    let cluster = Cluster::small(0).await;
    cluster.set_check(1, CheckStatus::Warning).await;
    cluster.add_process("other", 11, ["rms", "confd"]).await;
    cluster
        .register_on("other", Instance::new(11, "confd"))
        .await;
    let settings = Settings::default().until(Until::Running);
    let bridge = Bridge::start_with(&cluster, settings).await;
    wait_standing(&bridge, "ineligible").await;
    assert!(cluster.get("leader").await.is_none());
    cluster.set_check(1, CheckStatus::Passing).await;
    let (session, _) = wait_leader(&cluster).await;
    assert_eq!(session.node, cluster.node);
}

#[tokio::test]
async fn the_lock_goes_when_the_check_of_hax_turns_critical_and_not_before_it_passes() {
    let cluster = Cluster::small(0).await;
    let bridge = Bridge::start(&cluster).await;
    wait_standing(&bridge, "leader").await;
    let (first, _) = wait_leader(&cluster).await;
    cluster.set_check(0, CheckStatus::Critical).await;
    wait_no_leader(&cluster).await;
    wait_standing(&bridge, "ineligible").await;
    cluster.set_check(0, CheckStatus::Passing).await;
    let (second, _) = wait_leader(&cluster).await;
    assert_ne!(first.id, second.id);
    assert!(second.service_checks.contains(&"service:0".to_owned()));
}

#[tokio::test]
async fn an_orderly_stop_frees_the_lock() {
    let cluster = Cluster::small(0).await;
    let settings = Settings::default().with("leader.lock_delay", "'3s'");
    let mut bridge = Bridge::start_with(&cluster, settings).await;
    let (session, _) = wait_leader(&cluster).await;
    assert_eq!(session.lock_delay, Duration::from_secs(3));
    assert!(bridge.terminate().await.success());
    assert_eq!(cluster.get("leader").await.unwrap().session, None);
    let left = cluster.client.session().list().await.unwrap().value;
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_lock_of_another_is_respected_and_taken_over_when_it_is_free() {
    let cluster = Cluster::small(1).await;
    let foreign = cluster.lead(&cluster.node).await;
    let bridge = Bridge::start(&cluster).await;
    wait_standing(&bridge, "candidate").await;
    let status = bridge.status().await;
    assert_eq!(status["leader"]["session"], foreign.to_string());
    // There is a leader, so an ios is served.
    bridge.sim(2).await;
    cluster.client.session().destroy(&foreign).await.unwrap();
    wait_standing(&bridge, "leader").await;
    let (session, _) = wait_leader(&cluster).await;
    assert_ne!(session.id, foreign);
}

#[tokio::test]
async fn a_bridge_that_does_not_stand_uses_the_leader_that_is_there() {
    let cluster = Cluster::small(1).await;
    let settings = Settings::default()
        .with("leader.elect", "false")
        .until(Until::Running);
    let bridge = Bridge::start_with(&cluster, settings).await;
    let foreign = cluster.lead(&cluster.node).await;
    bridge.sim(2).await;
    let status = bridge.status().await;
    assert_eq!(status["leader"]["standing"], "off");
    let sessions = cluster.client.session().list().await.unwrap().value;
    let ids: Vec<_> = sessions.into_iter().map(|session| session.id).collect();
    assert_eq!(ids, [foreign]);
}
