//! The Consul agent of a measurement.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use consul_client::{Client, Config, TxnOp};
use hyper::body::Bytes;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::child::Program;
use super::http::Http;
use super::patience::Wait;
use super::tree::Tree;
use crate::ctl::entry::Entry;
use crate::ctl::load;

/// Where the agent keeps its state, for the report.
pub(super) const STORAGE: &str = "in memory (agent -dev)";

/// Port of the confds in the catalog; nobody connects to it.
const CONFD_PORT: u16 = 21_000;
/// A port that was free may be taken when the agent binds it.
const ATTEMPTS: usize = 4;

/// A running agent.
#[derive(Debug)]
pub(super) struct Agent {
    program: Program,
    file: PathBuf,
    config: Value,
    pub(super) address: SocketAddr,
    pub(super) client: Client,
}

impl Agent {
    /// Starts an agent named after the tree's node, with the tree in KV and its confds in the
    /// catalog.
    pub(super) async fn start(directory: &Path, tree: &Tree) -> Result<Self> {
        let mut failure = anyhow!("consul was not started");
        for _ in 0..ATTEMPTS {
            let mut agent = Self::spawn(directory, tree)?;
            match agent.ready(&tree.node).await {
                Ok(()) => {
                    agent.register_elsewhere(tree).await?;
                    agent.load(&tree.entries).await?;
                    return Ok(agent);
                }
                // It runs, and another one would get no further.
                Err(error) if agent.program.check().is_ok() => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn spawn(directory: &Path, tree: &Tree) -> Result<Self> {
        let [http, server, lan, wan] = free_ports()?;
        let config = json!({
            "ports": { "http": http, "server": server, "serf_lan": lan, "serf_wan": wan,
                       "dns": -1, "grpc": -1 },
            "bind_addr": "127.0.0.1",
            "log_level": "warn",
            "enable_local_script_checks": true,
            "services": services(tree),
        });
        let file = directory.join("consul.json");
        std::fs::write(&file, config.to_string())?;
        let program: OsString = std::env::var_os("HAX_CONSUL").unwrap_or_else(|| "consul".into());
        let mut command = Command::new(&program);
        command.args(["agent", "-dev", "-node", &tree.node, "-config-file"]);
        command.arg(&file);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, http));
        // For the scripts of its checks.
        command.env("CONSUL_HTTP_ADDR", address.to_string());
        let started = Program::spawn("consul", directory, &mut command, None);
        let program = started.map_err(|error| match error.downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == ErrorKind::NotFound => anyhow!(
                "there is no program {}: install consul, or name it in HAX_CONSUL \
                 (scripts/install-consul fetches it)",
                program.display()
            ),
            _ => error.context(format!("cannot start {}", program.display())),
        })?;
        Ok(Self {
            program,
            file,
            config,
            address,
            client: Client::new(&Config::new(address.to_string()))?,
        })
    }

    async fn ready(&mut self, node: &str) -> Result<()> {
        let mut wait = Wait::new("consul to elect itself and have its services");
        loop {
            self.program.check()?;
            if let Ok(confds) = self.client.catalog().service("confd").await
                && confds.value.iter().any(|confd| confd.node == node)
            {
                return Ok(());
            }
            wait.look((), || self.program.tail())?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Puts the confds of the other nodes into the catalog, whose agents do not exist.
    async fn register_elsewhere(&self, tree: &Tree) -> Result<()> {
        let mut http = self.connect().await?;
        for (node, key) in tree.confds.iter().filter(|(node, _)| *node != tree.node) {
            let entry = json!({
                "Node": node, "Address": "127.0.0.1",
                "Service": {
                    "ID": key.to_string(), "Service": "confd", "Address": "inet:tcp:127.0.0.1",
                    "Port": CONFD_PORT, "Meta": { "transport_type": "libfab" },
                },
            });
            let body = entry.to_string().into();
            http.put("/v1/catalog/register", body).await?;
        }
        Ok(())
    }

    async fn load(&self, entries: &[Entry]) -> Result<()> {
        let comparison = load::compare(&self.client, entries.to_vec()).await;
        let comparison = comparison.map_err(|error| anyhow!("{error}"))?;
        let loaded = load::apply(&self.client, comparison, true, |_, _| {}).await;
        loaded.map_err(|error| anyhow!("loading the tree: {error}"))?;
        Ok(())
    }

    /// Puts another tree in the place of the one in KV. The catalog stays.
    pub(super) async fn replace(&self, entries: &[Entry]) -> Result<()> {
        let m0conf = [TxnOp::delete_tree("m0conf/")];
        self.client.txn().commit(&m0conf).await?;
        self.load(entries).await
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub(super) fn freeze(&self) -> Result<()> {
        self.program.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(super) fn thaw(&self) -> Result<()> {
        self.program.signal(Signal::CONT)
    }

    /// Adds services to those of the node, and has every change of the health of services with
    /// that name posted.
    pub(super) async fn watch(&self, name: &str, services: Vec<Value>, url: &str) -> Result<()> {
        let mut config = self.config.clone();
        if let Some(there) = config["services"].as_array_mut() {
            there.extend(services);
        }
        config["watches"] = json!([{
            "type": "service", "service": name, "handler_type": "http",
            "http_handler_config": { "path": url, "method": "POST", "timeout": "10s" },
        }]);
        std::fs::write(&self.file, config.to_string())?;
        let mut http = self.connect().await?;
        http.put("/v1/agent/reload", Bytes::new()).await?;
        Ok(())
    }

    /// A connection for what Consul does alone.
    pub(super) async fn connect(&self) -> Result<Http> {
        Http::connect(self.address)
            .await
            .with_context(|| format!("connecting to consul at {}", self.address))
    }

    /// What Consul says its version is.
    pub(super) async fn version(&self) -> Result<String> {
        let body = self.connect().await?.get("/v1/agent/self").await?;
        let me: Value = serde_json::from_slice(&body)?;
        let version = me["Config"]["Version"].as_str().unwrap_or("unknown");
        Ok(version.to_owned())
    }
}

/// The node's confds, as its agent has them.
fn services(tree: &Tree) -> Vec<Value> {
    let here = tree.confds.iter().filter(|(node, _)| *node == tree.node);
    let service = |(_, key): &(String, u64)| {
        json!({
            "id": key.to_string(), "name": "confd", "address": "inet:tcp:127.0.0.1",
            "port": CONFD_PORT, "meta": { "transport_type": "libfab" },
            "checks": [{ "ttl": "1h", "status": "passing" }],
        })
    };
    here.map(service).collect()
}

/// Ports nobody listens on at the moment, each another one.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut kept = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            *port = tcp.local_addr()?.port();
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, *port));
            let free = udp.is_ok();
            kept.push((tcp, udp));
            if free {
                break;
            }
        }
    }
    Ok(ports)
}
