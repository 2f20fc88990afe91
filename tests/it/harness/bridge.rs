//! The `hax` program.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use halink::Fid;
use hax::sim::client::{Config, Events, SimProcess};
use hax::sim::endpoint::Endpoint;
use hax::sim::link::Identity;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Cluster, PATIENCE, Recorder, eventually, free_ports, process, soon};

/// How a bridge is configured and started.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    keys: BTreeMap<String, String>,
    until: Until,
}

/// What a bridge reports of its own process: STARTING and STARTED.
const OWN_EVENTS: u64 = 2;

/// When a started bridge is given to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Its HTTP server answers.
    Listening,
    /// Its own process has its entrypoint, and KV its status.
    Running,
    /// That, and somebody holds the leader lock.
    Led,
}

impl Default for Settings {
    fn default() -> Self {
        let settings = Self {
            keys: BTreeMap::new(),
            until: Until::Led,
        };
        settings
            .with("ha.process", format!("'{}'", process(0)))
            .with("ha.ha_service", "'0x7300000000000001:0x0'")
            .with("ha.rm_service", "'0x7300000000000001:0x1'")
            .with("retry.min", "'10ms'")
            .with("retry.max", "'100ms'")
            .with("leader.lock_delay", "'0s'")
            .with("log.level", "'info,hax=debug'")
    }
}

impl Settings {
    /// With a key of the configuration, `section.name`, set to a value as TOML writes it.
    pub(crate) fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        assert!(key.contains('.'), "{key}");
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// Given to the test at another moment.
    pub(crate) fn until(self, until: Until) -> Self {
        Self { until, ..self }
    }

    fn to_toml(&self) -> String {
        let line = |(key, value)| format!("{key} = {value}\n");
        self.keys.iter().map(line).collect()
    }
}

/// A running `hax run`. It is killed when this value is dropped, and its log is printed if the
/// test fails.
pub(crate) struct Bridge {
    child: Child,
    http: u16,
    directory: TempDir,
    settings: Settings,
    client: reqwest::Client,
    runs: u32,
}

impl Bridge {
    /// Starts the bridge of a cluster's node and waits until it leads.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, Settings::default()).await
    }

    /// Starts the bridge of a cluster's node.
    pub(crate) async fn start_with(cluster: &Cluster, settings: Settings) -> Self {
        let mut settings = settings;
        for (key, value) in [
            ("node.name", cluster.node.clone()),
            (
                "consul.address",
                format!("http://{}", cluster.consul.address()),
            ),
        ] {
            let value = format!("'{value}'");
            settings.keys.entry(key.to_owned()).or_insert(value);
        }
        let directory = tempfile::tempdir().unwrap();
        let endpoint = format!("'unix:{}'", directory.path().join("ha").display());
        let keys = &mut settings.keys;
        keys.entry("ha.endpoint".to_owned()).or_insert(endpoint);
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        let fixed = settings.keys.get("http.listen").map(|listen| {
            let (_, port) = listen.trim_matches('\'').rsplit_once(':').unwrap();
            port.parse().unwrap()
        });
        // A port that was free may be taken by the time the bridge binds it.
        let mut bridge = None;
        for run in 1..=5 {
            let http = match fixed {
                Some(port) => port,
                None => free_ports::<1>()[0],
            };
            settings
                .keys
                .insert("http.listen".to_owned(), format!("'127.0.0.1:{http}'"));
            let path = directory.path();
            std::fs::write(path.join("hax.toml"), settings.to_toml()).unwrap();
            let mut child = spawn(path.join("hax.toml"), path.join(format!("log.{run}")));
            if listening(&client, http, &mut child).await {
                bridge = Some((child, http, run));
                break;
            }
            eprintln!("{}", read(path.join(format!("log.{run}"))));
        }
        let (child, http, runs) = bridge.expect("the bridge listens; its log is above");
        let bridge = Self {
            child,
            http,
            directory,
            settings,
            client,
            runs,
        };
        bridge.ready().await;
        bridge
    }

    async fn ready(&self) {
        let until = self.settings.until;
        self.wait_status(&format!("the bridge to be {until:?}"), |status| {
            // What the bridge says of itself comes after that, and is counted like other events.
            let counted = |name: &str| status["counters"][name].as_u64().unwrap_or_default();
            let said = counted("process_events") + counted("final_errors");
            let running = status["phase"] == "running" && said >= OWN_EVENTS;
            match until {
                Until::Listening => true,
                Until::Running => running,
                Until::Led => running && !status["leader"]["session"].is_null(),
            }
        })
        .await;
    }

    /// Starts the bridge again with the same configuration; it has to have exited.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "still running");
        self.runs += 1;
        self.child = spawn(self.config(), self.log_file());
        let up = listening(&self.client, self.http, &mut self.child).await;
        assert!(up, "the bridge does not listen again");
        self.ready().await;
    }

    /// Changes a key of the configuration; the next run reads it.
    pub(crate) fn configure(&mut self, key: &str, value: &str) {
        self.settings = self.settings.clone().with(key, value);
        std::fs::write(self.config(), self.settings.to_toml()).unwrap();
    }

    /// SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until the process has ended.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the bridge to exit", async || child.try_wait().unwrap()).await
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exited().await
    }

    /// Whether the process runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file of its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("hax.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join(format!("log.{}", self.runs))
    }

    /// What the present run has logged so far.
    pub(crate) fn log(&self) -> String {
        read(self.log_file())
    }

    /// Waits until the present run has logged this.
    pub(crate) async fn wait_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// `/v1/status`.
    pub(crate) async fn status(&self) -> Value {
        self.try_status()
            .await
            .expect("the bridge tells its status")
    }

    async fn try_status(&self) -> Option<Value> {
        let url = format!("{}/v1/status", self.url());
        let response = self.client.get(url).send().await.ok()?;
        response.json().await.ok()
    }

    /// A counter of `/v1/status`.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let status = self.status().await;
        let count = status["counters"][name].as_u64();
        count.unwrap_or_else(|| panic!("no counter {name}: {status}"))
    }

    /// Waits until a counter has this value, which it must not exceed.
    pub(crate) async fn wait_counter(&self, name: &str, value: u64) {
        eventually(&format!("counter {name} = {value}"), async || {
            let count = self.counter(name).await;
            assert!(count <= value, "{name} is {count}, expected {value}");
            (count == value).then_some(())
        })
        .await;
    }

    /// Waits until `/v1/status` meets a condition, and returns it.
    pub(crate) async fn wait_status(&self, what: &str, met: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let status = self.try_status().await?;
            met(&status).then_some(status)
        })
        .await
    }

    /// Waits until broadcasts know that the process has this `state`: they are made from the
    /// bridge's own view, which follows KV.
    pub(crate) async fn wait_known(&self, key: u64, state: &str) {
        let state = format!("M0_CONF_HA_PROCESS_{state}");
        let process = process(key).to_string();
        self.wait_status(&format!("the view with process {key} {state}"), |status| {
            status["processes"][&process]["state"] == state
        })
        .await;
    }

    /// POSTs a body and returns the HTTP status and the JSON of the answer.
    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let url = format!("{}{path}", self.url());
        let response = self.client.post(url).body(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// Where processes connect.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let text = self.settings.keys["ha.endpoint"].trim_matches('\'');
        text.parse().unwrap()
    }

    /// How a process with this key connects.
    pub(crate) fn sim_config(&self, key: u64) -> Config {
        self.sim_config_of(process(key))
    }

    /// How a process connects.
    pub(crate) fn sim_config_of(&self, process: Fid) -> Config {
        Config {
            ha: self.endpoint(),
            identity: Identity {
                process,
                pid: 1_000 + process.key(),
                endpoint: format!("inet:tcp:127.0.0.1@{}", 21_000 + process.key()),
                git_rev: "none".to_owned(),
            },
            connect_timeout: Duration::from_secs(10),
            hold_entrypoint: false,
            auto_deliver: true,
        }
    }

    /// A process that has its entrypoint and acknowledges every message.
    pub(crate) async fn sim(&self, key: u64) -> SimProcess {
        let (sim, _) = self.spawn_sim(self.sim_config(key));
        self.linked(&sim).await;
        sim
    }

    /// A process that has its entrypoint, and everything that happens to it.
    pub(crate) async fn recorded(&self, key: u64) -> (SimProcess, Recorder) {
        let (sim, events) = self.spawn_sim(self.sim_config(key));
        let recorder = Recorder::spawn(events);
        self.linked(&sim).await;
        (sim, recorder)
    }

    /// Waits until a process has its entrypoint and the bridge knows its link: the reply may be
    /// faster than the bridge's own note of it.
    async fn linked(&self, sim: &SimProcess) {
        let ready = soon("a process to get its entrypoint", sim.ready()).await;
        ready.unwrap();
        let (_, _, link) = sim.state().borrow().link.unwrap();
        self.wait_status(&format!("link {link}"), |status| {
            let links = status["links"].as_array().unwrap();
            links.iter().any(|row| row["link"] == link)
        })
        .await;
    }

    /// A process that has just started; its events have to be taken or dropped.
    pub(crate) fn spawn_sim(&self, config: Config) -> (SimProcess, Events) {
        SimProcess::spawn(config)
    }

    /// Waits until the bridge has exactly these links, its own left out.
    pub(crate) async fn wait_links(&self, keys: &[u64]) {
        let mut wanted: Vec<String> = keys.iter().map(|key| process(*key).to_string()).collect();
        wanted.sort();
        let what = format!("links of {wanted:?}");
        self.wait_status(&what, |status| {
            let links = status["links"].as_array().unwrap();
            let others = links.iter().filter(|link| link["own"] == false);
            let mut found: Vec<_> = others
                .map(|link| link["process"].as_str().unwrap())
                .collect();
            found.sort_unstable();
            found == wanted
        })
        .await;
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for run in 1..=self.runs {
                let log = read(self.directory.path().join(format!("log.{run}")));
                eprintln!("--- log of hax, run {run}\n{log}");
            }
        }
    }
}

fn spawn(config: PathBuf, log: PathBuf) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hax"))
        .arg("run")
        .arg("-c")
        .arg(config)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap())
        .spawn()
        .unwrap()
}

/// Waits until the HTTP server of this child answers; false if it exited.
async fn listening(client: &reqwest::Client, http: u16, child: &mut Child) -> bool {
    eventually("the bridge's HTTP server", async || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let url = format!("http://127.0.0.1:{http}/");
        client.get(url).send().await.ok().map(|_| true)
    })
    .await
}

fn read(file: PathBuf) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
