//! A node that cannot say that it lives ends its own processes, whatever has become of its hax.

use std::path::Path;
use std::time::Duration;

use halink::{ProcessEvent, ProcessType};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::bridge::{fencing, start};
use crate::death::{Local, survivor};
use crate::harness::{Bridge, Cluster, Settings, eventually, process, soon};

fn with_action(action: &str) -> Settings {
    let devices = format!("[{{ name = 'self', type = 'watchdog', stop_max = '5s', {action} }}]");
    fencing("none").with("fence.device", devices)
}

fn with_watchdog() -> Settings {
    with_action("action = 'processes'")
}

async fn bound(cluster: &Cluster) -> Option<Duration> {
    let key = format!("fence/peers/{}", cluster.node);
    let record: Value = cluster.get(&key).await?.json().ok()?;
    Some(Duration::from_millis(record["watchdog_ms"].as_u64()?))
}

/// Waits until the peers can count on it.
async fn armed(cluster: &Cluster) {
    eventually("an armed watchdog", async || {
        let bound = bound(cluster).await?;
        assert_eq!(bound, Duration::from_secs(15));
        Some(())
    })
    .await;
}

/// Waits until they are told that they cannot.
async fn disarmed(cluster: &Cluster) {
    eventually("the word to be taken back", async || {
        bound(cluster).await.is_none().then_some(())
    })
    .await;
}

async fn killed(process: &mut Local) {
    eventually("the process to be killed", async || {
        process.has_ended().then_some(())
    })
    .await;
}

/// The watchdog process of a bridge. It is killed when this value is dropped: it would stay.
pub(super) struct Watchdog(Pid);

impl Watchdog {
    /// The child of the bridge, while that is its parent.
    pub(super) async fn of(bridge: &Bridge) -> Self {
        let parent = bridge.pid();
        eventually("the watchdog process", async || Self::find(parent)).await
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.as_raw_nonzero().get().cast_unsigned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.0, signal).unwrap();
    }

    fn find(parent: u32) -> Option<Self> {
        let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.parse::<i32>().ok()
        });
        let mut found = pids.filter(|pid| {
            let directory = Path::new("/proc").join(pid.to_string());
            let status = std::fs::read_to_string(directory.join("status")).unwrap_or_default();
            let words = std::fs::read_to_string(directory.join("cmdline")).unwrap_or_default();
            let is_child = status
                .lines()
                .any(|line| line == format!("PPid:\t{parent}"));
            is_child && words.starts_with("hax-fence-watchdog")
        });
        found.next().and_then(Pid::from_raw).map(Self)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// A bridge with an armed watchdog, and a process that it holds.
async fn scene(cluster: &Cluster, settings: Settings) -> (Bridge, Watchdog, Local) {
    let bridge = start(cluster, settings).await;
    let watchdog = Watchdog::of(&bridge).await;
    let process = Local::m0d(&bridge, 3).await;
    armed(cluster).await;
    (bridge, watchdog, process)
}

#[tokio::test]
async fn without_consul_the_processes_are_killed_and_then_the_command_is_run() {
    let directory = tempfile::tempdir().unwrap();
    let acted = directory.path().join("acted");
    let mut cluster = Cluster::small(2).await;
    let action = format!(
        "action = 'command', command = ['/usr/bin/touch', '{}']",
        acted.display()
    );
    let (bridge, _watchdog, mut process) = scene(&cluster, with_action(&action)).await;
    assert!(!process.has_ended());
    cluster.consul.kill();
    killed(&mut process).await;
    bridge.wait_log("THE WATCHDOG ACTS").await;
    eventually("the command to be run", async || {
        acted.exists().then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_hax_is_killed_and_not_started_again_the_processes_are_killed() {
    let cluster = Cluster::small(2).await;
    let (mut bridge, _watchdog, mut process) = scene(&cluster, with_watchdog()).await;
    bridge.kill();
    assert!(!process.has_ended(), "a hax that is started again saves it");
    killed(&mut process).await;
    assert!(bound(&cluster).await.is_some(), "the peers counted on it");
}

#[tokio::test]
async fn when_hax_is_stopped_the_processes_are_killed() {
    let cluster = Cluster::small(2).await;
    let (bridge, _watchdog, mut process) = scene(&cluster, with_watchdog()).await;
    bridge.signal(Signal::STOP);
    killed(&mut process).await;
    // It learns of it when it goes on, and lets no process in until it has beaten.
    bridge.signal(Signal::CONT);
    bridge.wait_log("THE WATCHDOG ACTS").await;
    bridge
        .wait_log("the watchdog lets processes of this node start again")
        .await;
}

#[tokio::test]
async fn when_hax_is_started_again_the_watchdog_process_is_taken_over() {
    let cluster = Cluster::small(2).await;
    let (mut bridge, watchdog, mut process) = scene(&cluster, with_watchdog()).await;
    // It hangs: the second run hears nothing of it.
    process.signal(Signal::STOP);
    bridge.kill();
    bridge.restart().await;
    bridge
        .wait_log("the watchdog process is there was_there=true")
        .await;
    armed(&cluster).await;
    bridge.wait_links(&[]).await;
    // The promise of the first run is over when its deadline is; it must not be kept any more.
    let begin = tokio::time::Instant::now();
    eventually("the first deadline to be over", async || {
        assert!(!process.has_ended());
        (begin.elapsed() > Duration::from_secs(12)).then_some(())
    })
    .await;
    // And the second run's is kept by the same watchdog process, also of a process that only the first knew.
    assert!(std::fs::exists(format!("/proc/{}", watchdog.0.as_raw_nonzero())).unwrap());
    bridge.wait_links(&[]).await;
    bridge.kill();
    killed(&mut process).await;
}

#[tokio::test]
async fn a_watchdog_process_that_is_killed_is_replaced() {
    let cluster = Cluster::small(2).await;
    let (bridge, watchdog, mut process) = scene(&cluster, with_watchdog()).await;
    // It hangs, and its link is dropped: nobody speaks for it any more, and it may write.
    process.signal(Signal::STOP);
    let word = cluster
        .get(&format!("processes/{}", self::process(3)))
        .await;
    let key = format!("fence/processes/{}", self::process(3));
    let id = uuid::Uuid::now_v7().to_string();
    let confirmed = json!({ "op": id, "word": word.unwrap().modify_index.0 });
    cluster.put(&key, &confirmed.to_string()).await;
    bridge.wait_links(&[]).await;
    drop(watchdog);
    bridge.wait_log("the watchdog process is lost").await;
    let _watchdog = Watchdog::of(&bridge).await;
    armed(&cluster).await;
    bridge.signal(Signal::STOP);
    killed(&mut process).await;
    bridge.signal(Signal::CONT);
}

/// It may hang, or have been stopped; the deadline that it was told last is not over by then.
#[tokio::test]
async fn a_watchdog_process_that_does_not_answer_is_not_counted_on() {
    let cluster = Cluster::small(2).await;
    let bridge = start(&cluster, with_watchdog()).await;
    let watchdog = Watchdog::of(&bridge).await;
    armed(&cluster).await;
    watchdog.signal(Signal::STOP);
    disarmed(&cluster).await;
    bridge
        .wait_log("the watchdog process does not answer")
        .await;
    watchdog.signal(Signal::CONT);
    armed(&cluster).await;
}

/// One that was started by an earlier run may go on without a link, and write.
#[tokio::test]
async fn with_a_process_that_may_run_without_a_link_a_new_watchdog_process_is_not_armed() {
    let cluster = Cluster::small(2).await;
    let word = |event: &str| {
        let state = format!("M0_CONF_HA_PROCESS_{event}");
        json!({ "state": state, "type": "M0_CONF_HA_PROCESS_M0D" }).to_string()
    };
    let key = format!("processes/{}", process(3));
    cluster.put(&key, &word("STARTED")).await;
    let bridge = start(&cluster, with_watchdog()).await;
    let _watchdog = Watchdog::of(&bridge).await;
    let why = format!("{} may be running and is not linked yet", process(3));
    bridge.wait_log(&why).await;
    assert_eq!(bound(&cluster).await, None);
    cluster.put(&key, &word("STOPPED")).await;
    armed(&cluster).await;
}

#[tokio::test]
async fn an_orderly_stop_takes_the_word_back_and_kills_nobody() {
    let cluster = Cluster::small(2).await;
    let (mut bridge, _watchdog, mut process) = scene(&cluster, with_watchdog()).await;
    bridge.terminate().await;
    assert_eq!(bound(&cluster).await, None);
    assert!(bridge.log().contains("the watchdog is disarmed"));
    let begin = tokio::time::Instant::now();
    eventually("the last deadline to be over", async || {
        assert!(!process.has_ended());
        (begin.elapsed() > Duration::from_secs(12)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_the_peers_cannot_be_told_it_stays_armed() {
    let mut cluster = Cluster::small(2).await;
    let (mut bridge, _watchdog, mut process) = scene(&cluster, with_watchdog()).await;
    cluster.consul.kill();
    bridge.terminate().await;
    assert!(bridge.log().contains("the watchdog stays armed"));
    killed(&mut process).await;
}

#[tokio::test]
async fn a_step_that_runs_through_it_is_obeyed_at_once() {
    let cluster = Cluster::small(2).await;
    // No deadline passes within the patience of this test.
    let settings = with_watchdog().with("fence.session_ttl", "'120s'");
    let bridge = start(&cluster, settings).await;
    let _watchdog = Watchdog::of(&bridge).await;
    let mut process = Local::m0d(&bridge, 3).await;
    eventually("an armed watchdog", async || bound(&cluster).await).await;
    let id = uuid::Uuid::now_v7().to_string();
    let step = json!({
        "device": "self", "action": "off", "group": 0, "required": true, "tries": 1,
        "delay_ms": 0, "delay_max_ms": 0, "run_max_ms": 600_000, "on_target": false,
    });
    let running = json!({ "state": "running", "session": id, "since": 1 });
    let op = json!({
        "id": id, "target": cluster.node, "action": "off",
        "origin": { "node": "far", "source": "operator", "who": "", "reason": "", "at": 1 },
        "options": { "expire_ms": 600_000 }, "driver": "far",
        "phase": { "phase": "active" },
        "plan": { "epoch": 0, "levels": [{ "level": 0, "steps": [step] }] },
        "attempts": [{ "level": 0, "steps": [0], "peer": "far", "verified": true, "state": running }],
    });
    let key = format!("fence/ops/{id}");
    cluster.put(&key, &op.to_string()).await;
    let key = format!("fence/active/{}", cluster.node);
    cluster.put(&key, &id).await;
    killed(&mut process).await;
    bridge.wait_log("runs through it").await;
    bridge
        .wait_log("the watchdog lets no process of this node start")
        .await;
}

#[tokio::test]
async fn with_a_process_that_cannot_be_ended_for_certain_it_is_not_armed() {
    let cluster = Cluster::small(2).await;
    let bridge = start(&cluster, with_watchdog()).await;
    let _watchdog = Watchdog::of(&bridge).await;
    armed(&cluster).await;
    let (loose, _) = survivor(&bridge, 2).await;
    disarmed(&cluster).await;
    let why = format!("{} could not be ended for certain", process(2));
    bridge.wait_log(&why).await;
    // Without that it might go on without its link.
    let stopped = loose.process_event(ProcessEvent::Stopped, ProcessType::M0d);
    soon("STOPPED", stopped.await.unwrap().wait())
        .await
        .unwrap();
    drop(loose);
    armed(&cluster).await;
}
