//! Consul with another history: wiped, or restored to an earlier state.

use consul_client::CheckStatus;
use halink::{HaState, ProcessEvent};
use hax::cluster::Snapshot;

use super::{Followed, drive, put_check, put_drive, put_status, try_put_drive};
use crate::harness::{Bridge, Cluster, Settings, Until, consul, eventually, process, soon};

async fn durable() -> Cluster {
    Cluster::empty_of(consul::Settings {
        durable: true,
        config: serde_json::json!({ "performance": { "raft_multiplier": 1 } }),
        ..consul::Settings::default()
    })
    .await
}

/// Moves the index a little.
async fn age(cluster: &Cluster) {
    for n in 0..20 {
        put_drive(&cluster.client, n, HaState::Repair).await;
        put_status(&cluster.client, n, "STARTED").await;
    }
}

#[tokio::test]
async fn a_wiped_consul_is_read_anew() {
    let mut cluster = durable().await;
    age(&cluster).await;
    put_check(&cluster.client, 1, CheckStatus::Critical).await;
    let followed = Followed::new(&cluster.client);
    let before = followed.fresh().await;
    assert_eq!(before.state_of(drive(1)), Some(HaState::Repair));
    assert!(before.failing.processes.contains_key(&process(1)));
    let indexes = ["m0conf", "processes", "checks"].map(|part| followed.index(part));
    cluster.consul.kill();
    cluster.consul.wipe();
    cluster.consul.restart().await;
    put_drive(&cluster.client, 100, HaState::Repaired).await;

    let after = followed.fresh_at_last().await;
    assert_eq!(after.state_of(drive(1)), None);
    assert_eq!(after.state_of(drive(100)), Some(HaState::Repaired));
    assert!(after.processes.is_empty() && after.failing.processes.is_empty());
    for (part, index) in ["m0conf", "processes"].into_iter().zip(indexes) {
        assert!(followed.index(part) < index, "{part} went not backwards");
    }
    // It goes on from there.
    put_drive(&cluster.client, 100, HaState::Repair).await;
    let told = |view: &Snapshot| view.state_of(drive(100)) == Some(HaState::Repair);
    followed.wait("a change after the reset", told).await;
}

#[tokio::test]
async fn a_wiped_consul_is_noticed_without_being_asked() {
    let mut cluster = durable().await;
    age(&cluster).await;
    let followed = Followed::new(&cluster.client);
    followed.fresh().await;
    cluster.consul.kill();
    cluster.consul.wipe();
    cluster.consul.restart().await;
    put_drive(&cluster.client, 100, HaState::Repaired).await;
    let told = |view: &Snapshot| view.tree.len() == 1 && view.processes.is_empty();
    followed.wait("the new history", told).await;
}

/// Raft goes on with higher indexes, but the keys have the old ones again.
#[tokio::test]
async fn a_restored_consul_is_read_anew() {
    let cluster = durable().await;
    put_drive(&cluster.client, 1, HaState::Repair).await;
    put_status(&cluster.client, 1, "STARTED").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/snapshot", cluster.consul.address());
    let saved = http.get(&url).send().await.unwrap().bytes().await.unwrap();
    put_drive(&cluster.client, 1, HaState::Repaired).await;
    put_status(&cluster.client, 1, "STOPPING").await;
    put_status(&cluster.client, 2, "STARTED").await;
    let followed = Followed::new(&cluster.client);
    let before = followed.fresh().await;
    assert_eq!(before.state_of(drive(1)), Some(HaState::Repaired));
    let restored = http.put(&url).body(saved).send().await.unwrap();
    assert!(restored.status().is_success(), "{restored:?}");

    let after = followed.fresh_at_last().await;
    assert_eq!(after.state_of(drive(1)), Some(HaState::Repair));
    let status = after.processes.get(process(1)).unwrap();
    assert_eq!(status.state, ProcessEvent::Started);
    assert_eq!(after.processes.get(process(2)), None);
}

#[tokio::test]
async fn nvec_answers_are_right_through_a_restart_and_a_wipe() {
    let mut cluster = durable().await;
    age(&cluster).await;
    let settings = Settings::default()
        .with("ha.on_fatal_message", "'isolate'")
        .until(Until::Running);
    cluster.fill(1).await;
    let bridge = Bridge::start_with(&cluster, settings).await;
    let sim = bridge.sim(2).await;
    let ask = async |expected: [HaState; 2]| {
        let notes = soon("an answer", sim.nvec_get(&[drive(1), drive(300)]))
            .await
            .unwrap();
        let states: Vec<u32> = notes.iter().map(|note| note.state).collect();
        assert_eq!(states, expected.map(HaState::raw));
    };
    let write = async |cluster: &Cluster, state| {
        eventually("Consul to take a write", async || {
            try_put_drive(&cluster.client, 1, state).await
        })
        .await;
    };
    ask([HaState::Repair, HaState::Online]).await;
    let status = bridge.status().await;
    let parts = status["consul"]["view"].as_array().unwrap();
    for (row, name) in parts.iter().zip(["m0conf", "processes", "checks"]) {
        assert_eq!(row["part"], name, "{status}");
        assert!(row["index"].as_u64().unwrap() > 0, "{status}");
        assert!(row["age_seconds"].is_u64(), "{status}");
    }
    assert_eq!(parts.len(), 3);
    cluster.consul.kill();
    cluster.consul.restart().await;
    for state in [HaState::Repaired, HaState::Failed] {
        write(&cluster, state).await;
        ask([state, HaState::Online]).await;
    }
    cluster.consul.kill();
    // Asked while Consul is away, answered when it is back.
    let asked = sim.clone();
    let asked = tokio::spawn(async move { asked.nvec_get(&[drive(1)]).await });
    let retried = bridge.counter("retries").await;
    bridge
        .wait_status("the GET to be retried", |status| {
            status["counters"]["retries"].as_u64().unwrap() > retried
        })
        .await;
    cluster.consul.wipe();
    cluster.consul.restart().await;
    let answer = soon("the answer", asked).await.unwrap().unwrap();
    assert_eq!(answer[0].state, HaState::Online.raw(), "nothing is stored");
    write(&cluster, HaState::Repair).await;
    put_drive(&cluster.client, 300, HaState::Repaired).await;
    ask([HaState::Repair, HaState::Repaired]).await;
}
