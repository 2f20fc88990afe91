//! Three Consul servers, a hax on each, and devices that write down what they are asked for.

use std::sync::atomic::{AtomicU32, Ordering};

use consul_client::{Client, Index, Registration, TxnOp};
use hax::fence::FenceView;
use hax::fence::model::{
    Action, OpId, Operation, Options, Origin, Phase, Source, Target, UnixMillis, keys,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::motr;
use super::recording::{Agents, Line};
use crate::common::consul::{Consul, Settings as Servers};
use crate::faults::proxy::Proxy;
use crate::harness::{Bridge, Cluster, Settings, Until, eventually};

/// Whoever gathers agents for a cluster of servers does so alone: half a cluster would wait for the
/// agents of another half.
static GATHERING: Mutex<()> = Mutex::const_new(());

pub(crate) struct Trio {
    pub(crate) agents: Agents,
    pub(crate) bridges: Vec<Bridge>,
    pub(crate) nodes: Vec<Cluster>,
    /// On the way of each hax to its server, if they were asked for.
    pub(crate) proxies: Vec<Proxy>,
}

/// How a trio is configured.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Name of a device, and more of its keys.
    pub(crate) devices: Vec<(&'static str, &'static str)>,
    /// More devices, as TOML writes them.
    pub(crate) others: Vec<String>,
    /// How many of all devices each peer can use.
    pub(crate) usable: usize,
    /// More keys, as TOML writes them.
    pub(crate) keys: Vec<(&'static str, String)>,
    /// Whether each node has a confd and ios processes ([`super::motr`]), and the bridges tell them.
    pub(crate) motr: bool,
    /// There is a proxy between each hax and its server.
    pub(crate) proxied: bool,
}

/// A device that answers within seconds, or has failed.
pub(crate) const QUICK: &str =
    "off_timeout = '4s', on_timeout = '4s', reboot_timeout = '4s', retries = 0";

impl Shape {
    /// One device, `pdu`.
    pub(crate) fn simple() -> Self {
        Self::of([("pdu", QUICK)])
    }

    pub(crate) fn of(devices: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        let devices: Vec<_> = devices.into_iter().collect();
        Self {
            usable: devices.len(),
            devices,
            others: Vec::new(),
            keys: Vec::new(),
            motr: false,
            proxied: false,
        }
    }

    /// With one more device.
    pub(crate) fn and(mut self, device: String) -> Self {
        self.others.push(device);
        self.usable += 1;
        self
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.keys.push((key, value.into()));
        self
    }
}

impl Trio {
    /// Starts servers and daemons, and waits until all are peers.
    pub(crate) async fn start(shape: &Shape) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let servers = Servers {
            node: format!("f{number}-{}", std::process::id()),
            // Else a server that fails is taken out of the catalog seconds later, with its checks.
            config: json!({ "autopilot": { "cleanup_dead_servers": false } }),
            ..Servers::default()
        };
        let gathering = GATHERING.lock().await;
        let servers: [Consul; 3] = Consul::start_servers(&servers).await;
        let mut nodes = Vec::new();
        for server in servers {
            nodes.push(Cluster::around(server).await);
        }
        drop(gathering);
        let agents = Agents::new();
        let (mut bridges, mut proxies) = (Vec::new(), Vec::new());
        for (number, node) in nodes.iter().enumerate() {
            let mut settings = settings(shape, &agents, &node.node);
            if shape.motr {
                motr::fill(node, number).await;
                settings = motr::settings(settings, number);
            }
            if shape.proxied {
                let proxy = Proxy::start(node.consul.address()).await;
                settings = settings.with("consul.address", format!("'http://{}'", proxy.address));
                proxies.push(proxy);
            }
            bridges.push(Bridge::start_with(node, settings).await);
        }
        let trio = Self {
            agents,
            bridges,
            nodes,
            proxies,
        };
        trio.wait_peers(0, shape.usable).await;
        trio
    }

    /// Waits until every hax has published what it reaches.
    pub(crate) async fn wait_peers(&self, by: usize, devices: usize) {
        self.wait_view(by, "all peers to be ready", |view| {
            let ready = |node: &Cluster| {
                let name = node.node.parse().unwrap();
                let peer = view.peers.get(&name);
                peer.is_some_and(|peer| {
                    peer.session.is_some() && peer.record.devices.len() == devices
                })
            };
            self.nodes.iter().all(ready).then_some(())
        })
        .await;
    }

    /// The name of a node.
    pub(crate) fn name(&self, number: usize) -> &str {
        &self.nodes[number].node
    }

    /// The number of a node.
    pub(crate) fn number(&self, name: &str) -> usize {
        let mut nodes = self.nodes.iter();
        nodes.position(|node| node.node == name).unwrap()
    }

    /// The client of a node's agent.
    pub(crate) fn client(&self, number: usize) -> &Client {
        &self.nodes[number].client
    }

    /// Adds a node without an agent to the catalog: something to fence.
    pub(crate) async fn add_target(&self, name: &str) {
        let registration = Registration::new(name, "127.0.0.1");
        let catalog = self.client(0).catalog();
        catalog.register(&registration).await.unwrap();
    }

    /// Everything under `fence/`, read through a node's agent.
    pub(crate) async fn view(&self, by: usize) -> Option<FenceView> {
        let pairs = self.client(by).kv().list(keys::PREFIX).await.ok()?;
        Some(FenceView::parse(&pairs.value))
    }

    /// Waits until the view has something.
    pub(crate) async fn wait_view<T>(
        &self,
        by: usize,
        what: &str,
        met: impl Fn(&FenceView) -> Option<T>,
    ) -> T {
        eventually(what, async || met(&self.view(by).await?)).await
    }

    /// Sends a request to a node's hax: HTTP status, and the answer.
    pub(crate) async fn send(
        &self,
        by: usize,
        method: reqwest::Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/v1/fence/{path}", self.bridges[by].url());
        let request = client.request(method, url);
        let request = request.header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// What an operator posts: `more` beside who and why.
    pub(crate) async fn post(&self, by: usize, path: &str, more: Value) -> (u16, Value) {
        let mut body = json!({ "who": "a test", "reason": "a test" });
        let (Some(body_map), Value::Object(more)) = (body.as_object_mut(), more) else {
            panic!("not an object");
        };
        body_map.extend(more);
        self.send(by, reqwest::Method::POST, path, &body).await
    }

    /// Asks a node's hax for an operation: its ID, and whether it was merged.
    pub(crate) async fn ask_with(
        &self,
        by: usize,
        (target, action): (&str, Action),
        mut more: Value,
    ) -> (OpId, bool) {
        more["target"] = json!(target);
        more["action"] = json!(action);
        let (status, answer) = self.post(by, "run", more).await;
        assert_eq!(status, 202, "{answer}");
        let id = answer["op"].as_str().unwrap().parse().unwrap();
        (id, answer["merged"].as_bool().unwrap())
    }

    /// Asks a node's hax for an operation.
    pub(crate) async fn ask(&self, by: usize, target: &str, action: Action) -> OpId {
        self.ask_with(by, (target, action), json!({})).await.0
    }

    /// Puts an operation where its originator would have put it.
    pub(crate) async fn place(&self, by: usize, op: &Operation) {
        let ops = [
            TxnOp::cas(keys::active(&op.target), op.id.as_str(), Index(0)),
            TxnOp::cas(keys::op(&op.id), json!(op).to_string(), Index(0)),
        ];
        self.client(by).txn().commit(&ops).await.unwrap();
    }

    /// Waits for the end of an operation, as a node's agent sees it.
    pub(crate) async fn ended(&self, by: usize, id: &OpId) -> Operation {
        self.wait_view(by, &format!("the end of {id}"), |view| {
            let op = &view.ops.get(id)?.value;
            op.ended().map(|_| op.clone())
        })
        .await
    }

    /// Asks for an operation through a node, and waits for its end.
    pub(crate) async fn run(&self, by: usize, target: &str, action: Action) -> Operation {
        let id = self.ask(by, target, action).await;
        self.ended(by, &id).await
    }

    /// Waits until an agent works on a target; which.
    pub(crate) async fn wait_start(&self, target: &str, nth: usize) -> Line {
        let what = format!("run {nth} on {target}");
        eventually(&what, async || self.agents.starts(target).get(nth).cloned()).await
    }
}

/// A request that nobody has looked at.
pub(crate) fn operation(origin: &str, target: &str, action: Action) -> Operation {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let target: Target = target.parse().unwrap();
    Operation {
        id: OpId::new(),
        target,
        action,
        origin: Origin {
            node: origin.parse().unwrap(),
            source: Source::Operator,
            who: "a test".to_owned(),
            reason: "a test".to_owned(),
            at: UnixMillis(now.unwrap().as_millis().try_into().unwrap()),
        },
        joined: Vec::new(),
        options: Options {
            expire_ms: 600_000,
            ..Options::default()
        },
        driver: origin.parse().unwrap(),
        phase: Phase::Requested,
        plan: None,
        before: Default::default(),
        attempts: Vec::new(),
    }
}

fn settings(shape: &Shape, agents: &Agents, peer: &str) -> Settings {
    let devices = shape.devices.iter();
    let mut devices: Vec<_> = devices.map(|device| agents.device(*device, peer)).collect();
    devices.extend(shape.others.iter().cloned());
    let mut settings = Settings::default()
        .until(Until::Listening)
        .with("leader.elect", "false")
        .with("consul.timeout", "'2s'")
        .with("fence.enabled", "true")
        .with("fence.audit_file", agents.audit_file(peer))
        .with("fence.session_ttl", "'10s'")
        .with("fence.lock_delay", "'1s'")
        .with("fence.startup_grace", "'0s'")
        .with("fence.storm_targets", "1000")
        .with("fence.storm_percent", "100")
        .with("fence.loop_count", "100")
        .with("fence.device", format!("[{}]", devices.join(", ")));
    for (key, value) in &shape.keys {
        settings = settings.with(key, value.as_str());
    }
    settings
}
