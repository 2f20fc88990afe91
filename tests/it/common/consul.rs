//! A Consul agent of a test's own.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use consul_client::{Client, Config, Token};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::eventually;

/// How to start an agent.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Name of its node.
    pub(crate) node: String,
    /// Configuration beside ports and name.
    pub(crate) config: Value,
    /// Environment variables in addition. `{http}` in a value is the agent's HTTP port.
    pub(crate) env: Vec<(String, String)>,
    /// Token of the client, where the configuration enables ACLs.
    pub(crate) token: Option<String>,
    /// Keep the state on disk, so that it survives [`Consul::kill`].
    pub(crate) durable: bool,
    /// Servers of the cluster. More than one are durable.
    pub(crate) servers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: "node1".to_owned(),
            config: json!({}),
            env: Vec::new(),
            token: None,
            durable: false,
            servers: 1,
        }
    }
}

/// An agent: one server, its state in memory if not `durable`, on free ports of loopback. It
/// ends with this value.
#[derive(Debug)]
pub(crate) struct Consul {
    child: Child,
    http: u16,
    rpc: u16,
    settings: Settings,
    directory: TempDir,
}

/// The consul program: `HAX_CONSUL`, the one on PATH, or what `scripts/install-consul`
/// has unpacked.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("HAX_CONSUL").map_or_else(|| "consul".into(), PathBuf::from);
    on_path(&named).unwrap_or_else(|| {
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/target/consul/root/usr/bin/consul"
        )
        .into()
    })
}

/// Where a program is, if it is installed.
pub(crate) fn on_path(program: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|directory| directory.join(program));
    found.find(|file| file.exists())
}

impl Consul {
    /// Starts an agent and waits until it has a leader and its node is registered.
    pub(crate) async fn start() -> Self {
        Self::start_with(&Settings::default()).await
    }

    /// Starts an agent with settings.
    pub(crate) async fn start_with(settings: &Settings) -> Self {
        // A port that was free may be taken by the time the agent binds it.
        for _ in 0..5 {
            if let Some(consul) = Self::try_start(settings).await {
                return consul;
            }
        }
        panic!("consul does not stay up; its log is above");
    }

    async fn try_start(settings: &Settings) -> Option<Self> {
        let mut consul = Self::spawn(settings, free_ports(), None);
        if consul.ready().await {
            return Some(consul);
        }
        eprintln!("{}", consul.log());
        None
    }

    /// Starts servers that make one cluster, and waits until each knows of a leader.
    #[allow(dead_code, reason = "only some of the tests need more than one")]
    pub(crate) async fn start_servers<const N: usize>(settings: &Settings) -> [Self; N] {
        // As above.
        for _ in 0..5 {
            if let Some(servers) = Self::try_start_servers(settings).await {
                return servers;
            }
        }
        panic!("the servers do not stay up; their logs are above");
    }

    async fn try_start_servers<const N: usize>(settings: &Settings) -> Option<[Self; N]> {
        let ports: [[u16; 4]; N] = std::array::from_fn(|_| free_ports());
        let mut number = 0;
        let mut servers = ports.map(|own| {
            number += 1;
            let settings = Settings {
                node: format!("{}-{number}", settings.node),
                durable: true,
                servers: N,
                ..settings.clone()
            };
            Self::spawn(&settings, own, Some(ports[0][2]))
        });
        for server in &mut servers {
            if !server.ready().await {
                eprintln!("{}", server.log());
                return None;
            }
        }
        Some(servers)
    }

    fn spawn(settings: &Settings, ports: [u16; 4], join: Option<u16>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [http, server, lan, wan] = ports;
        let ports = json!({ "http": http, "server": server, "serf_lan": lan, "serf_wan": wan,
                            "dns": -1, "grpc": -1 });
        let join: Vec<_> = join.iter().map(|lan| format!("127.0.0.1:{lan}")).collect();
        let common = json!({ "ports": ports, "bind_addr": "127.0.0.1", "log_level": "warn",
                             "retry_join": join, "retry_interval": "200ms" });
        for (name, config) in [("common.json", &common), ("test.json", &settings.config)] {
            std::fs::write(directory.path().join(name), config.to_string()).unwrap();
        }
        Self {
            child: spawn(settings, http, directory.path()),
            http,
            rpc: server,
            settings: settings.clone(),
            directory,
        }
    }

    /// Waits for a leader and for the agent's node; false if the agent ended instead.
    async fn ready(&mut self) -> bool {
        let client = self.client();
        eventually("an agent with a leader", async || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let nodes = client.catalog().nodes().await.ok()?.value;
            nodes
                .iter()
                .any(|node| node.name == self.settings.node)
                .then_some(true)
        })
        .await
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// SIGKILL, and waits for the agent's end.
    #[allow(dead_code, reason = "only some of the tests stop their agent")]
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts a killed agent again, on the same ports and with what it has on disk.
    #[allow(dead_code, reason = "only some of the tests stop their agent")]
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.settings, self.http, self.directory.path());
        assert!(self.ready().await, "{}", self.log());
    }

    /// Removes what a killed agent has on disk.
    #[allow(dead_code, reason = "only some of the tests stop their agent")]
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.directory.path().join("data")).unwrap();
    }

    /// Name of its node.
    #[allow(dead_code, reason = "only some of the tests have several agents")]
    pub(crate) fn node(&self) -> &str {
        &self.settings.node
    }

    /// `host:port` of the HTTP API.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    /// `host:port` by which the servers know it.
    #[allow(dead_code, reason = "only some of the tests have several agents")]
    pub(crate) fn rpc(&self) -> String {
        format!("127.0.0.1:{}", self.rpc)
    }

    /// A client of the agent.
    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(self.address());
        config.token = self.settings.token.clone().map(Token::new);
        Client::new(&config).unwrap()
    }

    /// Stops the agent from running, so that it accepts connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        // Its threads stop one after another; this returns when the last one has.
        waitpid(Some(self.pid()), WaitOptions::UNTRACED).unwrap();
    }

    /// Lets a frozen agent run on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }
}

fn spawn(settings: &Settings, http: u16, directory: &Path) -> Child {
    let env = settings
        .env
        .iter()
        .map(|(k, v)| (k, v.replace("{http}", &http.to_string())));
    let data = directory.join("data");
    let mut command = Command::new(program());
    command.arg("agent");
    if settings.durable {
        let expect = format!("-bootstrap-expect={}", settings.servers);
        command.args(["-server", &expect, "-data-dir"]).arg(data);
    } else {
        command.arg("-dev");
    }
    command
        .args(["-node", &settings.node, "-config-dir"])
        .arg(directory)
        .envs(env)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(directory.join("log")).unwrap())
        .spawn()
        .expect("consul starts; scripts/setup provides it")
}

impl Drop for Consul {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports nobody listens on at the moment, each another one. They are below those the kernel
/// gives to outgoing connections, so that one stays free while its owner is restarted.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    [(); N].map(|()| {
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let spread = std::process::id().wrapping_mul(97).wrapping_add(n);
            let port = 10_000 + u16::try_from(spread % 20_000).unwrap();
            let address = ("127.0.0.1", port);
            if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
                return port;
            }
        }
    })
}
