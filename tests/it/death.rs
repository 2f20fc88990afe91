//! The death watch, with processes of their own that are killed. No check of Consul turns critical
//! by itself in these tests: what is told comes from the watch.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use consul_client::CheckStatus;
use halink::{Fid, HaState, ProcessEvent, ProcessType};
use hax::sim::client::{Config, SimProcess};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Bridge, Cluster, Recorder, Settings, eventually, process, service, soon};

/// `hax sim` as a process of its own; it is killed when this value is dropped.
pub(crate) struct Local {
    child: Child,
    key: u64,
}

impl Local {
    /// Runs `hax sim` for a process, and waits until the bridge watches it.
    pub(crate) async fn start(bridge: &Bridge, kind: &str, key: u64) -> Self {
        let local = Self::spawn(bridge, kind, key);
        local.wait_state(bridge, "watched").await;
        local
    }

    /// An m0d that has started.
    pub(crate) async fn m0d(bridge: &Bridge, key: u64) -> Self {
        let local = Self::start(bridge, "m0d", key).await;
        bridge.wait_known(key, "STARTED").await;
        bridge.wait_log_of_started(local.pid()).await;
        local
    }

    /// Runs `hax sim` for a process.
    pub(crate) fn spawn(bridge: &Bridge, kind: &str, key: u64) -> Self {
        Self::spawn_with(bridge, &[kind], key)
    }

    /// An m0d that does what it is told, and nothing else.
    fn bare(bridge: &Bridge, key: u64) -> Self {
        Self::spawn_with(bridge, &["m0d", "--bare"], key)
    }

    fn spawn_with(bridge: &Bridge, kind: &[&str], key: u64) -> Self {
        let process = process(key);
        let child = Command::new(env!("CARGO_BIN_EXE_hax"))
            .arg("sim")
            .args(kind)
            .args(["--interactive", "--ha"])
            .arg(bridge.endpoint().to_string())
            .args(["--process", &process.to_string()])
            // On this endpoint no socket of the machine can listen.
            .args(["--endpoint", &format!("127.0.0.1@tcp:12345:2:{key}")])
            .args(["--service", &format!("ios:{}", service(2 * key + 1))])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, key }
    }

    /// A command of its script.
    pub(crate) fn say(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL. It stays a zombie, and its pid its own, until it is dropped.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until its own link is watched, or not.
    async fn wait_state(&self, bridge: &Bridge, state: &str) {
        let what = format!("process {} to be {state}", self.key);
        bridge
            .wait_status(&what, |status| {
                let row = newest_link(status, self.key);
                row.is_some_and(|row| row["death_watch"]["state"] == state)
            })
            .await;
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bridge {
    /// Waits until STARTED of this pid has been written.
    async fn wait_log_of_started(&self, pid: u32) {
        let of = |line: &str| {
            line.contains("process status is in KV")
                && line.contains("_STARTED ")
                && line.ends_with(&format!("pid={pid}"))
        };
        eventually(&format!("STARTED of pid {pid}"), async || {
            self.log().lines().any(of).then_some(())
        })
        .await;
    }
}

fn newest_link(status: &Value, key: u64) -> Option<&Value> {
    let process = process(key).to_string();
    let links = status["links"].as_array()?;
    links.iter().rfind(|row| row["process"] == process)
}

/// A process of the test that reports this event.
async fn reporting(bridge: &Bridge, config: Config, event: ProcessEvent) -> (SimProcess, Recorder) {
    let (sim, events) = bridge.spawn_sim(config);
    let heard = Recorder::spawn(events);
    soon("an entrypoint", sim.ready()).await.unwrap();
    let delivery = sim.process_event(event, ProcessType::M0d).await.unwrap();
    soon("the event to be delivered", delivery.wait())
        .await
        .unwrap();
    (sim, heard)
}

/// A process of the test that has started. Its pid is nobody's here.
pub(crate) async fn survivor(bridge: &Bridge, key: u64) -> (SimProcess, Recorder) {
    let mut config = bridge.sim_config(key);
    config.identity.pid = u64::from(u32::MAX);
    reporting(bridge, config, ProcessEvent::Started).await
}

pub(crate) async fn told(sim: &SimProcess, object: Fid, state: HaState) {
    soon(&format!("{object} {state}"), sim.wait_state(object, state))
        .await
        .unwrap();
}

pub(crate) fn objects_of(key: u64) -> [Fid; 3] {
    [process(key), service(2 * key), service(2 * key + 1)]
}

pub(crate) async fn all_told(sims: &[&SimProcess], key: u64, state: HaState) {
    for sim in sims {
        for object in objects_of(key) {
            told(sim, object, state).await;
        }
    }
}

pub(crate) async fn answers(sim: &SimProcess, key: u64) -> Vec<u32> {
    let answer = soon("a GET to be answered", sim.nvec_get(&objects_of(key))).await;
    answer.unwrap().iter().map(|note| note.state).collect()
}

/// Posts what Consul's checks say of the ios processes.
pub(crate) async fn post_health(bridge: &Bridge, cluster: &Cluster) {
    let payload = cluster.service_payload("ios").await;
    let (code, _) = bridge.post("/watch/service", payload).await;
    assert_eq!(code, 200);
}

/// Tells something that has nothing to do with the death watch, and waits until it is heard: what
/// was told before has been heard then.
async fn flush(bridge: &Bridge, sim: &SimProcess) {
    let payload = json!([{ "Node": { "Node": "far" }, "Service": { "ID": "900" },
        "Checks": [{ "Status": "warning", "ModifyIndex": 1 }] }]);
    bridge.post("/", payload.to_string()).await;
    told(sim, process(900), HaState::Transient).await;
}

#[tokio::test]
async fn a_killed_process_is_failed_at_once_and_until_it_speaks_again() {
    let cluster = Cluster::small(3).await;
    let bridge = Bridge::start(&cluster).await;
    let (first, heard) = survivor(&bridge, 3).await;
    let (second, _) = survivor(&bridge, 4).await;
    let victim = Local::m0d(&bridge, 2).await;
    let stored = cluster.stored(2).await;

    victim.kill();
    all_told(&[&first, &second], 2, HaState::Failed).await;
    bridge.wait_counter("deaths", 1).await;
    bridge.wait_links(&[3, 4]).await;
    let status = bridge.status().await;
    let dead = &status["deaths"][0];
    assert_eq!(status["deaths"].as_array().unwrap().len(), 1);
    assert_eq!(dead["process"], process(2).to_string());
    assert_eq!(dead["pid"], victim.pid());
    assert_eq!(dead["exit"], "unknown");
    bridge
        .wait_log("told every other process that this one has died")
        .await;
    assert!(bridge.log().contains(&format!("pid={}", victim.pid())));
    // KV keeps the process's own word.
    assert_eq!(cluster.stored(2).await, stored);

    // Consul has not noticed, and says so.
    let before = heard.states_of(process(2)).len();
    post_health(&bridge, &cluster).await;
    flush(&bridge, &first).await;
    let since = heard.states_of(process(2)).split_off(before);
    assert_eq!(since, [HaState::Failed]);
    assert_eq!(answers(&first, 2).await, [HaState::Failed.raw(); 3]);

    // Its next incarnation is another process.
    let again = Local::m0d(&bridge, 2).await;
    assert_eq!(answers(&first, 2).await, [HaState::Online.raw(); 3]);
    assert_eq!(bridge.status().await["deaths"], json!([]));
    post_health(&bridge, &cluster).await;
    all_told(&[&first, &second], 2, HaState::Online).await;
    again.kill();
    all_told(&[&first, &second], 2, HaState::Failed).await;
    bridge.wait_counter("deaths", 2).await;
    assert_eq!(first.state().borrow().closes, 0);
}

#[tokio::test]
async fn a_process_that_says_stopped_has_not_failed_when_it_ends() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let (other, heard) = survivor(&bridge, 3).await;
    let mut orderly = Local::m0d(&bridge, 2).await;
    orderly.signal(Signal::TERM);
    eventually("the process to exit", async || {
        orderly.child.try_wait().unwrap()
    })
    .await;
    cluster.wait_stored(2, "STOPPED").await;
    bridge.wait_links(&[3]).await;

    // The next one says it while Consul is away, and is killed before it is in KV.
    let hasty = Local::m0d(&bridge, 2).await;
    let received = |status: &Value| newest_link(status, 2).unwrap()["received"].as_u64();
    let before = received(&bridge.status().await).unwrap();
    cluster.consul.freeze();
    hasty.signal(Signal::TERM);
    // STOPPING, seven services, STOPPED.
    let all = before + services_stopped() + 2;
    bridge
        .wait_status("STOPPED to be received", |status| {
            received(status) == Some(all)
        })
        .await;
    hasty.kill();
    hasty.wait_state(&bridge, "ended").await;
    cluster.consul.thaw();
    cluster.wait_stored(2, "STOPPED").await;
    flush(&bridge, &other).await;
    assert_eq!(heard.states_of(process(2)), []);
    assert_eq!(bridge.counter("deaths").await, 0);
}

/// How many services an m0d of [`Local::spawn`] reports as stopping: two early, three late, its
/// own, and three that only stop.
fn services_stopped() -> u64 {
    2 + 3 + 1 + 3
}

#[tokio::test]
async fn the_death_of_somebody_else_says_nothing() {
    let cluster = Cluster::small(4).await;
    let bridge = Bridge::start(&cluster).await;
    let mut stranger = Command::new("sh")
        .args(["-c", "read line"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let victim = Local::m0d(&bridge, 2).await;
    let (other, heard) = survivor(&bridge, 3).await;
    let mut claims = Vec::new();
    // An unrelated process, and a Motr process, but another one.
    for (key, pid) in [(4, stranger.id()), (5, victim.pid()), (6, 1)] {
        let mut config = bridge.sim_config(key);
        config.identity.pid = pid.into();
        claims.push(reporting(&bridge, config, ProcessEvent::Started).await);
    }
    bridge.wait_counter("death_watch_unproven", 4).await;
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    victim.kill();
    all_told(&[&other], 2, HaState::Failed).await;
    flush(&bridge, &other).await;
    for key in 4..=6 {
        assert_eq!(heard.states_of(process(key)), [], "process {key}");
    }
    assert_eq!(bridge.counter("deaths").await, 1);
    assert_eq!(answers(&other, 4).await, [HaState::Online.raw(); 3]);
    let log = bridge.log();
    let said = "the process is not watched for its death";
    assert_eq!(log.matches(said).count(), 4, "{log}");
}

#[tokio::test]
async fn a_death_is_told_while_consul_does_not_answer() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let (other, _) = survivor(&bridge, 3).await;
    let victim = Local::m0d(&bridge, 2).await;
    cluster.consul.freeze();
    // A request is in hand and is retried.
    let event = other.process_event(ProcessEvent::DtmRecovered, ProcessType::M0d);
    let delivery = event.await.unwrap();
    victim.kill();
    all_told(&[&other], 2, HaState::Failed).await;
    cluster.consul.thaw();
    soon("the event to be delivered", delivery.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_started_that_is_written_after_the_death_does_not_raise_the_dead() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let (other, heard) = survivor(&bridge, 3).await;
    let mut victim = Local::bare(&bridge, 2);
    victim.say("entrypoint");
    victim.say("event STARTING M0D");
    victim.wait_state(&bridge, "watched").await;
    bridge.wait_known(2, "STARTING").await;
    cluster.consul.freeze();
    victim.say("event STARTED M0D");
    bridge
        .wait_status("STARTED in hand", |status| {
            !status["queue"]["in_hand"].is_null()
        })
        .await;
    victim.kill();
    all_told(&[&other], 2, HaState::Failed).await;
    cluster.consul.thaw();
    bridge.wait_known(2, "STARTED").await;
    post_health(&bridge, &cluster).await;
    flush(&bridge, &other).await;
    assert_eq!(answers(&other, 2).await, [HaState::Failed.raw(); 3]);
    let states = heard.states_of(process(2));
    assert!(states.iter().all(|s| *s == HaState::Failed), "{states:?}");
}

#[tokio::test]
async fn a_killed_m0mkfs_is_nobody_s_failure_and_its_link_goes() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let (other, heard) = survivor(&bridge, 3).await;
    let mkfs = Local::start(&bridge, "m0mkfs", 2).await;
    mkfs.kill();
    bridge.wait_links(&[3]).await;
    flush(&bridge, &other).await;
    assert_eq!(heard.states_of(process(2)), []);
    assert_eq!(bridge.counter("deaths").await, 0);
    assert_eq!(answers(&other, 2).await, [HaState::Online.raw(); 3]);
    let m0d = Local::m0d(&bridge, 2).await;
    m0d.kill();
    all_told(&[&other], 2, HaState::Failed).await;
}

#[tokio::test]
async fn a_process_that_comes_back_to_a_restarted_bridge_is_watched() {
    let cluster = Cluster::small(2).await;
    let mut bridge = Bridge::start(&cluster).await;
    let (other, _) = survivor(&bridge, 3).await;
    let victim = Local::m0d(&bridge, 2).await;
    bridge.kill();
    bridge.restart().await;
    bridge.wait_links(&[2, 3]).await;
    victim.wait_state(&bridge, "watched").await;
    victim.kill();
    all_told(&[&other], 2, HaState::Failed).await;
    bridge.wait_counter("deaths", 1).await;
    bridge.wait_links(&[3]).await;
}

#[tokio::test]
async fn turned_off_it_leaves_the_work_to_the_check() {
    let cluster = Cluster::small(2).await;
    let settings = Settings::default().with("ha.death_watch", "false");
    let bridge = Bridge::start_with(&cluster, settings).await;
    let (other, heard) = survivor(&bridge, 3).await;
    let mut victim = Local::spawn(&bridge, "m0d", 2);
    bridge.wait_known(2, "STARTED").await;
    let status = bridge.status().await;
    assert!(newest_link(&status, 2).unwrap()["death_watch"].is_null());
    victim.kill();
    victim.child.wait().unwrap();
    flush(&bridge, &other).await;
    assert_eq!(heard.states_of(process(2)), []);
    cluster.set_check(2, CheckStatus::Critical).await;
    post_health(&bridge, &cluster).await;
    all_told(&[&other], 2, HaState::Failed).await;
    assert_eq!(bridge.counter("deaths").await, 0);
}

/// Prints what `SIGKILL` → FAILED received by ten others takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement; worth something in a release build only"]
async fn measure_sigkill_to_ten_survivors() {
    const KILLS: usize = 50;
    let cluster = Cluster::small(11).await;
    let settings = Settings::default().with("log.level", "'info'");
    let bridge = Bridge::start_with(&cluster, settings).await;
    let mut survivors = Vec::new();
    for key in 3..13 {
        survivors.push(survivor(&bridge, key).await);
    }
    let mut times = Vec::with_capacity(KILLS);
    for kill in 1..=KILLS {
        let victim = Local::m0d(&bridge, 2).await;
        let marks: Vec<_> = survivors
            .iter()
            .map(|(_, heard)| heard.states_of(process(2)).len())
            .collect();
        let killed = Instant::now();
        victim.kill();
        let mut last = Duration::ZERO;
        for ((_, heard), mark) in survivors.iter().zip(marks) {
            let at = heard.wait_nth_state(process(2), mark).await;
            last = last.max(at.duration_since(killed));
        }
        times.push(last);
        bridge.wait_counter("deaths", kill as u64).await;
        drop(victim);
    }
    times.sort_unstable();
    let ms = |at: usize| times[at].as_secs_f64() * 1e3;
    eprintln!(
        "{KILLS} kills, 10 survivors: min {:.2} ms, p50 {:.2} ms, p90 {:.2} ms, max {:.2} ms",
        ms(0),
        ms(KILLS / 2),
        ms(KILLS * 9 / 10),
        ms(KILLS - 1),
    );
}
