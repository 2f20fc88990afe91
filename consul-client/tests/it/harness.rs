//! Consul agents for tests.

use std::future::Future;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use consul_client::{Client, Config, Token};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Longest time anything expected may take; reached only when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A running `consul agent -dev`, killed when dropped.
pub(crate) struct TestAgent {
    child: Child,
    ports: Ports,
    token: Option<&'static str>,
    pub(crate) node: String,
    pub(crate) dir: TempDir,
}

#[derive(Clone, Copy)]
struct Ports {
    http: u16,
    https: u16,
    serf_lan: u16,
    serf_wan: u16,
    server: u16,
}

impl TestAgent {
    /// The agent shared by all tests that run at the same time and leave it as it was.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<TestAgent>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(agent) = shared.upgrade() {
            return agent;
        }
        let agent = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&agent);
        agent
    }

    /// An agent of one's own.
    pub(crate) async fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), json!({}), None).await
    }

    /// An agent with more configuration, and the token it needs to be asked whether it is ready.
    pub(crate) async fn start_with(
        dir: TempDir,
        config: Value,
        token: Option<&'static str>,
    ) -> Self {
        let node = unique("node");
        let mut dir = dir;
        // Another process may take a port between its choice and its use: then choose again.
        for _ in 0..5 {
            let ports = Ports::choose();
            let child = spawn(dir.path(), &node, ports, &config);
            let mut agent = Self {
                child,
                ports,
                token,
                node: node.clone(),
                dir,
            };
            if agent.ready().await {
                return agent;
            }
            dir = std::mem::replace(&mut agent.dir, tempfile::tempdir().unwrap());
        }
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        panic!("consul does not start:\n{log}");
    }

    /// `host:port` of the plain HTTP API.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.http)
    }

    /// `https://host:port` of the API, if the configuration enables TLS.
    pub(crate) fn https_address(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.https)
    }

    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(self.address());
        config.token = self.token.map(Token::new);
        Client::new(&config).unwrap()
    }

    /// Kills the agent; an agent in development mode forgets everything.
    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same ports, without waiting until it is ready.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.dir.path(), &self.node, self.ports, &json!({}));
    }

    /// Waits until the agent has a leader and its node is in the catalog; false if it exited.
    async fn ready(&mut self) -> bool {
        let client = self.client();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let leader = client.status().leader().await.unwrap_or_default();
            let checks = client.health().node(&self.node).await;
            if leader.is_some() && checks.is_ok_and(|checks| !checks.value.is_empty()) {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ports {
    /// Free ports below those the kernel gives to outgoing connections.
    fn choose() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let free = || loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let spread = std::process::id().wrapping_mul(97).wrapping_add(n);
            let port = 10_000 + (spread % 20_000) as u16;
            let address = ("127.0.0.1", port);
            if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
                return port;
            }
        };
        Self {
            http: free(),
            https: free(),
            serf_lan: free(),
            serf_wan: free(),
            server: free(),
        }
    }
}

fn spawn(dir: &Path, node: &str, ports: Ports, extra: &Value) -> Child {
    let mut config = json!({ "ports": {
        "http": ports.http, "dns": -1, "grpc": -1,
        "serf_lan": ports.serf_lan, "serf_wan": ports.serf_wan, "server": ports.server,
    }});
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    if extra.get("key_file").is_some() {
        config["ports"]["https"] = ports.https.into();
    }
    let file = dir.join("agent.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let log = std::fs::File::create(dir.join("log")).unwrap();
    Command::new(consul())
        .args([
            "agent",
            "-dev",
            "-bind",
            "127.0.0.1",
            "-client",
            "127.0.0.1",
            "-node",
            node,
        ])
        .arg("-config-file")
        .arg(&file)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The Consul program.
pub(crate) fn consul() -> PathBuf {
    let named = std::env::var_os("HAX_CONSUL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| {
        std::env::split_paths(&path)
            .map(|dir| dir.join("consul"))
            .find(|file| file.is_file())
    });
    match found {
        Some(file) if file.is_file() => file,
        Some(file) => panic!("HAX_CONSUL names {}, which is not a file", file.display()),
        None => panic!("these tests need Consul: put `consul` on PATH or name it in HAX_CONSUL"),
    }
}

/// A name no other test uses.
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{stem}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Repeats `probe` until it yields something.
pub(crate) async fn eventually<T, F, Fut>(what: &str, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Awaits something that must not take for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("never happened: {what}"),
    }
}
