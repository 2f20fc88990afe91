//! Stopping the bridge, in every phase of its life.

use consul_client::CheckStatus;
use halink::{ProcessEvent, ProcessType};
use rustix::process::Signal;

use crate::harness::{Bridge, Cluster, Settings, Until, process, soon};

#[tokio::test]
async fn sigterm_drains_and_leaves_the_status_of_hax_in_kv() {
    for signal in [Signal::TERM, Signal::INT] {
        let cluster = Cluster::small(1).await;
        let mut bridge = Bridge::start(&cluster).await;
        cluster.wait_stored(0, "STARTED").await;
        let sim = bridge.sim(2).await;
        let started = sim.process_event(ProcessEvent::Started, ProcessType::M0d);
        soon("STARTED to be delivered", started.await.unwrap().wait())
            .await
            .unwrap();
        bridge.signal(signal);
        let exit = bridge.exited().await;
        assert!(exit.success(), "{exit}");
        cluster.wait_stored(0, "STOPPED").await;
        let log = bridge.log();
        let pid = format!("pid={}", bridge.pid());
        let written = |state: &str| {
            let line = |line: &&str| {
                line.contains("process status is in KV")
                    && line.contains(&process(0).to_string())
                    && line.ends_with(&pid)
                    && line.contains(&format!("state=M0_CONF_HA_PROCESS_{state} "))
            };
            log.lines().filter(line).count()
        };
        for state in ["STARTING", "STARTED", "STOPPING", "STOPPED"] {
            assert_eq!(written(state), 1, "{state} in:\n{log}");
        }
        assert!(log.ends_with("hax has stopped\n"), "{log}");
        // What others said stays.
        assert!(cluster.stored(2).await.unwrap().contains("_STARTED"));
        assert_eq!(cluster.get("leader").await.unwrap().session, None);
    }
}

#[tokio::test]
async fn sigterm_ends_a_bridge_that_waits_for_its_own_entrypoint() {
    let cluster = Cluster::empty().await;
    let settings = Settings::default().until(Until::Listening);
    let mut bridge = Bridge::start_with(&cluster, settings).await;
    bridge.wait_log("no entrypoint yet").await;
    assert_eq!(bridge.status().await["phase"], "starting");
    let exit = bridge.terminate().await;
    assert!(exit.success(), "{exit}");
    assert!(bridge.log().contains("hax has stopped"));
    cluster.wait_stored(0, "STOPPED").await;
}

#[tokio::test]
async fn the_bridge_starts_when_the_confd_is_registered_at_last() {
    let cluster = Cluster::empty().await;
    let settings = Settings::default().until(Until::Listening);
    let bridge = Bridge::start_with(&cluster, settings).await;
    bridge.wait_log("no entrypoint yet").await;
    cluster.fill(1).await;
    bridge
        .wait_status("running", |status| status["phase"] == "running")
        .await;
    cluster.wait_stored(0, "STARTED").await;
    cluster.set_check(1, CheckStatus::Passing).await;
    bridge.sim(2).await;
}

#[tokio::test]
async fn sigterm_ends_a_bridge_while_consul_is_stopped_in_bounded_time() {
    let cluster = Cluster::small(1).await;
    let settings = Settings::default()
        .with("consul.timeout", "'200ms'")
        .with("consul.connect_timeout", "'200ms'");
    let mut bridge = Bridge::start_with(&cluster, settings).await;
    let sim = bridge.sim(2).await;
    cluster.consul.freeze();
    // One request is in hand and is retried.
    let delivery = sim
        .process_event(ProcessEvent::Started, ProcessType::M0d)
        .await
        .unwrap();
    bridge
        .wait_status("the event in hand", |status| {
            !status["queue"]["in_hand"].is_null()
        })
        .await;
    let exit = bridge.terminate().await;
    assert!(exit.success(), "{exit}");
    // What Consul has not confirmed is not delivered either: the next run gets it again.
    assert_eq!(sim.state().borrow().unacked, 1);
    cluster.consul.thaw();
    bridge.restart().await;
    soon("the event to be delivered", delivery.wait())
        .await
        .unwrap();
    cluster.wait_stored(2, "STARTED").await;
}

#[tokio::test]
async fn a_killed_bridge_starts_again_and_its_processes_find_it() {
    let cluster = Cluster::small(1).await;
    let mut bridge = Bridge::start(&cluster).await;
    let sim = bridge.sim(2).await;
    let started = sim.process_event(ProcessEvent::Started, ProcessType::M0d);
    soon("STARTED to be delivered", started.await.unwrap().wait())
        .await
        .unwrap();
    let first = sim.state().borrow().link.unwrap();
    bridge.kill();
    let stopping = sim
        .process_event(ProcessEvent::Stopping, ProcessType::M0d)
        .await
        .unwrap();
    bridge.restart().await;
    soon("STOPPING to be delivered to the next run", stopping.wait())
        .await
        .unwrap();
    cluster.wait_stored(2, "STOPPING").await;
    let second = sim.state().borrow().link.unwrap();
    assert_ne!(first.1, second.1, "another run, another instance");
}
