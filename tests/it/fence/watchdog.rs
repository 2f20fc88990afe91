//! A node that cannot reach Consul ends its own processes.

use std::time::Duration;

use serde_json::Value;

use super::bridge::{fencing, start};
use crate::death::Local;
use crate::harness::{Bridge, Cluster, Settings, eventually};

fn with_watchdog(directory: &tempfile::TempDir) -> Settings {
    let devices = format!(
        "[{{ name = 'self', type = 'watchdog', stop_max = '5s', \
         action = 'command', command = ['/usr/bin/touch', '{}'] }}]",
        directory.path().join("acted").display()
    );
    fencing("none").with("fence.device", devices)
}

/// Waits until the peers can count on it.
async fn armed(cluster: &Cluster, _bridge: &Bridge) {
    let key = format!("fence/peers/{}", cluster.node);
    eventually("an armed watchdog", async || {
        let record: Value = cluster.get(&key).await?.json().ok()?;
        let bound = Duration::from_millis(record["watchdog_ms"].as_u64()?);
        assert_eq!(bound, Duration::from_secs(15));
        Some(())
    })
    .await;
}

#[tokio::test]
async fn without_consul_the_processes_are_killed_and_then_the_command_is_run() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::small(2).await;
    let bridge = start(&cluster, with_watchdog(&directory)).await;
    let mut process = Local::m0d(&bridge, 3).await;
    armed(&cluster, &bridge).await;
    assert!(!process.has_ended());
    cluster.consul.kill();
    eventually("the process to be killed", async || {
        process.has_ended().then_some(())
    })
    .await;
    bridge.wait_log("THE WATCHDOG ACTS").await;
    eventually("the command to be run", async || {
        directory.path().join("acted").exists().then_some(())
    })
    .await;
}
