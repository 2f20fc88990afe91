//! The leader lock changes hands; the bridge dies while it holds it.

use std::time::Duration;

use consul_client::{CheckStatus, Checks, NewSession};
use hax::sim::client::SimProcess;

use super::Outage;
use super::proxy::{Fault, Proxy, Rule};
use crate::harness::{Bridge, Cluster, Instance, Settings, Until, eventually, service, soon};

async fn session(cluster: &Cluster) -> Option<consul_client::SessionId> {
    cluster.get("leader").await?.session
}

/// Waits until a process is told this RM.
async fn wait_rm(sim: &SimProcess, rm: u64) {
    eventually(&format!("RM {rm}"), async || {
        let reply = soon("an entrypoint", sim.entrypoint()).await.unwrap();
        assert_eq!(reply.rc, 0);
        (reply.rm == service(rm)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn entrypoints_follow_the_lock() {
    let cluster = Cluster::small(1).await;
    cluster.add_process("far", 8, ["rms", "confd"]).await;
    cluster.register_on("far", Instance::new(8, "confd")).await;
    let bridge = Bridge::start(&cluster).await;
    let ios = bridge.sim(2).await;
    wait_rm(&ios, 2).await;
    let mut session_of_far = NewSession::new("leader");
    session_of_far.node = Some("far".to_owned());
    session_of_far.checks = Checks::none();
    session_of_far.lock_delay = Duration::ZERO;
    let far = cluster
        .client
        .session()
        .create(&session_of_far)
        .await
        .unwrap();
    // The bridge stands at once for a lock that is free, and may win.
    eventually("the lock for another node", async || {
        let held = session(&cluster).await?;
        cluster.client.session().destroy(&held).await.unwrap();
        let taken = cluster.client.kv().acquire("leader", "far", &far).await;
        taken.unwrap().then_some(())
    })
    .await;
    wait_rm(&ios, 16).await;
    bridge
        .wait_status("a candidate", |status| {
            status["leader"]["standing"] == "candidate"
        })
        .await;
    assert_eq!(session(&cluster).await, Some(far.clone()));
    cluster.client.session().destroy(&far).await.unwrap();
    wait_rm(&ios, 2).await;
    bridge
        .wait_status("the leader", |status| {
            status["leader"]["standing"] == "leader"
        })
        .await;
}

#[tokio::test]
async fn the_lock_of_a_killed_bridge_is_freed_by_its_check_and_taken_by_the_next_run() {
    let cluster = Cluster::small(1).await;
    let mut bridge = Bridge::start(&cluster).await;
    let ios = bridge.sim(2).await;
    let held = session(&cluster).await;
    assert!(held.is_some());
    bridge.kill();
    bridge.restart().await;
    wait_rm(&ios, 2).await;
    assert_eq!(
        session(&cluster).await,
        held,
        "the session outlives a short absence"
    );
    bridge.kill();
    cluster.set_check(0, CheckStatus::Critical).await;
    eventually("the lock to be free", async || {
        session(&cluster).await.is_none().then_some(())
    })
    .await;
    cluster.set_check(0, CheckStatus::Passing).await;
    bridge.restart().await;
    wait_rm(&ios, 2).await;
    let standing = |status: &serde_json::Value| status["leader"]["standing"] == "leader";
    bridge.wait_status("the leader", standing).await;
    assert_ne!(session(&cluster).await, held);
}

#[tokio::test]
async fn the_election_goes_on_after_one_of_its_watches_has_failed() {
    let cluster = Cluster::small(1).await;
    cluster.set_check(1, CheckStatus::Critical).await;
    let proxy = Proxy::start(cluster.consul.address()).await;
    let settings = Settings::default()
        .with("consul.address", format!("'http://{}'", proxy.address))
        .until(Until::Running);
    let bridge = Bridge::start_with(&cluster, settings).await;
    let standing = |wanted: &'static str| {
        move |status: &serde_json::Value| status["leader"]["standing"] == wanted
    };
    bridge
        .wait_status("ineligible", standing("ineligible"))
        .await;
    proxy.set([Rule::always("GET /v1/health/service/confd", Fault::Close)]);
    bridge.wait_log("a watch of the election has failed").await;
    proxy.mend();
    cluster.set_check(1, CheckStatus::Passing).await;
    bridge.wait_status("the leader", standing("leader")).await;
}

#[tokio::test]
async fn the_election_goes_on_after_an_outage_of_consul() {
    let mut cluster = Outage::Killed.cluster(1).await;
    let bridge = Bridge::start(&cluster).await;
    let standing = |wanted: &'static str| {
        move |status: &serde_json::Value| status["leader"]["standing"] == wanted
    };
    bridge.wait_status("the leader", standing("leader")).await;
    let held = session(&cluster).await;
    // The restarted agent takes no check for passing, so Consul ends the session: the lock has to
    // be taken anew, by an election whose watches have all failed.
    Outage::Killed.begin(&mut cluster);
    bridge
        .wait_status("Consul to be missed", |status| {
            status["consul"]["reachable"] == false
        })
        .await;
    Outage::Killed.end(&mut cluster).await;
    eventually("the lock to be held anew", async || {
        let now = session(&cluster).await;
        (now.is_some() && now != held).then_some(())
    })
    .await;
    bridge.wait_status("the leader", standing("leader")).await;
}
