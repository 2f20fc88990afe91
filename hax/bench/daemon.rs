//! The bridge that is measured: a `hax run` of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::agent::{Agent, free_ports};
use super::child::Program;
use super::clock;
use super::http::Http;
use super::patience::{STALL, Wait};
use super::tree::Tree;

/// How long it may take to stop, before it is killed.
const STOP: Duration = Duration::from_secs(60);
/// A port that was free may be taken when the bridge binds it.
const ATTEMPTS: usize = 4;

/// How the bridge learns of the death of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeathWatch {
    /// By itself, as by default.
    On,
    /// By Consul's checks alone.
    Off,
}

/// A running bridge that leads.
#[derive(Debug)]
pub(super) struct Daemon {
    program: Program,
    http: SocketAddr,
    socket: PathBuf,
    /// From the start of the program until its own process had its entrypoint.
    pub(super) ready: Duration,
}

impl Daemon {
    /// Starts a bridge with the default settings, but for the death watch.
    pub(super) async fn start(
        hax: &Path,
        directory: &Path,
        agent: &Agent,
        tree: &Tree,
        death_watch: DeathWatch,
    ) -> Result<Self> {
        let mut failure = anyhow!("the bridge was not started");
        for _ in 0..ATTEMPTS {
            let (mut daemon, begun) = Self::spawn(hax, directory, agent, tree, death_watch)?;
            match daemon.lead(begun).await {
                Ok(()) => return Ok(daemon),
                // It runs, and another one would get no further.
                Err(error) if daemon.program.check().is_ok() => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn spawn(
        hax: &Path,
        directory: &Path,
        agent: &Agent,
        tree: &Tree,
        death_watch: DeathWatch,
    ) -> Result<(Self, Instant)> {
        let [port] = free_ports()?;
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = directory.join("ha");
        let config = format!(
            "[node]\nname = {:?}\n[ha]\nendpoint = \"unix:{}\"\nprocess = \"{}\"\n\
             ha_service = \"{}\"\nrm_service = \"{}\"\n{}[consul]\naddress = \"http://{}\"\n\
             [http]\nlisten = \"{http}\"\n[leader]\nlock_delay = \"0s\"\n",
            tree.node,
            socket.display(),
            tree.hax.process,
            tree.hax.ha,
            tree.hax.rms,
            match death_watch {
                DeathWatch::On => "",
                DeathWatch::Off => "death_watch = false\n",
            },
            agent.address,
        );
        let file = directory.join("hax.toml");
        std::fs::write(&file, config)?;
        let mut command = Command::new(hax);
        command
            .args(["run", "-c"])
            .arg(&file)
            .env_remove("RUST_LOG");
        let begun = Instant::now();
        let program = Program::spawn("hax", directory, &mut command, None)
            .with_context(|| format!("cannot start {}", hax.display()))?;
        let daemon = Self {
            program,
            http,
            socket,
            ready: Duration::ZERO,
        };
        Ok((daemon, begun))
    }

    /// Waits until a bridge that was started at `begun` leads.
    async fn lead(&mut self, begun: Instant) -> Result<()> {
        self.wait("the bridge to run", |status| status["phase"] == "running")
            .await?;
        self.ready = begun.elapsed();
        self.wait("the bridge to lead", |status| {
            !status["leader"]["session"].is_null()
        })
        .await?;
        Ok(())
    }

    /// Waits for something, until `/v1/status` is as wanted.
    pub(super) async fn wait(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let mut wait = Wait::new(what);
        let mut far = [None, None, None];
        loop {
            self.program.check()?;
            if let Ok(Ok(status)) = timeout(STALL, self.status()).await {
                if wanted(&status) {
                    return Ok(status);
                }
                far = progress(&status);
            }
            wait.look(far.clone(), || self.program.tail())?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn status(&self) -> Result<Value> {
        let body = self.connect().await?.get("/v1/status").await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// A connection to its HTTP server.
    pub(super) async fn connect(&self) -> Result<Http> {
        Http::connect(self.http).await
    }

    /// Where Consul posts the health of services.
    pub(super) fn watch_url(&self) -> String {
        format!("http://{}/watch/service", self.http)
    }

    /// Where Motr processes reach it.
    pub(super) fn endpoint(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// SIGTERM; it gives the leader's lock back.
    pub(super) async fn stop(&mut self) -> Result<()> {
        if self.program.terminate(STOP).await?.is_none() {
            self.program.kill()?;
        }
        Ok(())
    }

    /// Resident memory, KiB.
    pub(super) fn rss_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.and_then(|line| line.split_whitespace().next());
        size.context("no VmRSS in /proc")?.parse().context("VmRSS")
    }

    /// CPU time of all its threads until now, as the scheduler counts it.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let mut sum = 0_u64;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.program.pid()))? {
            // A thread may end between the two.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let nanos = text.split_whitespace().next().unwrap_or_default();
            sum += nanos.parse::<u64>().context("schedstat")?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Its CPU time and the time on the clock, while something is done.
    pub(super) async fn cpu_during<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, f64)> {
        let (cpu, clock) = (self.cpu()?, clock::now());
        let result = work.await?;
        let used = self.cpu()?.saturating_sub(cpu);
        let passed = Duration::from_nanos(clock::now() - clock);
        Ok((result, used.as_secs_f64() / passed.as_secs_f64()))
    }
}

/// How far a bridge is, of all that a measurement waits for.
fn progress(status: &Value) -> [Option<Value>; 3] {
    ["/phase", "/consul/objects", "/counters/process_events"].map(|it| status.pointer(it).cloned())
}
