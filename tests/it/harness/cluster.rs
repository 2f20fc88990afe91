//! What Consul knows of a cluster: catalog, checks and KV.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use consul_client::{
    CatalogCheck, CheckKind, CheckSpec, CheckStatus, Checks, Client, Index, KvPair, NewSession,
    Registration, Service, ServiceRegistration, SessionId,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::consul::{Consul, Settings};
use super::{eventually, process, service};

/// Agents that run at once at most.
static AGENTS: Semaphore = Semaphore::const_new(6);

/// No check of a test turns critical by itself.
const TTL: Duration = Duration::from_secs(3_600);

/// A Consul agent and what was put into it.
///
/// The node of a small cluster has hax (process 0: services `ha` 0, `rms` 1), a confd (process 1:
/// `rms` 2, `confd` 3) and ios processes from 2 on (`rms` 2k, `ios` 2k + 1).
pub(crate) struct Cluster {
    pub(crate) consul: Consul,
    pub(crate) client: Client,
    /// Name of the agent's node; no other agent has it.
    pub(crate) node: String,
    _permit: SemaphorePermit<'static>,
}

/// One process: an instance of a service in the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// Service name: `hax`, `confd`, `ios`.
    pub(crate) name: &'static str,
    /// Service ID; the decimal key where not changed.
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) transport: Option<&'static str>,
    pub(crate) status: CheckStatus,
}

impl Instance {
    /// A passing instance with endpoint `inet:tcp:127.0.0.1@21000+key`.
    pub(crate) fn new(key: u64, name: &'static str) -> Self {
        Self {
            name,
            id: key.to_string(),
            address: "inet:tcp:127.0.0.1".to_owned(),
            port: 21_000 + u16::try_from(key).unwrap(),
            transport: Some("libfab"),
            status: CheckStatus::Passing,
        }
    }

    /// With a status of its check to begin with.
    pub(crate) fn with_status(self, status: CheckStatus) -> Self {
        Self { status, ..self }
    }

    fn meta(&self) -> impl Iterator<Item = (String, String)> {
        let transport = self.transport.map(str::to_owned);
        transport
            .into_iter()
            .map(|transport| ("transport_type".to_owned(), transport))
    }
}

impl Cluster {
    /// An agent that knows nothing.
    pub(crate) async fn empty() -> Self {
        Self::empty_with(json!({})).await
    }

    /// An agent that knows nothing, with more configuration.
    pub(crate) async fn empty_with(config: Value) -> Self {
        Self::empty_of(Settings {
            config,
            ..Settings::default()
        })
        .await
    }

    /// An agent that knows nothing, with these settings and a node name of its own.
    pub(crate) async fn empty_of(settings: Settings) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let permit = AGENTS.acquire().await.unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let node = format!("n{number}-{}", std::process::id());
        let settings = Settings {
            node: node.clone(),
            ..settings
        };
        let consul = Consul::start_with(&settings).await;
        Self {
            client: consul.client(),
            consul,
            node,
            _permit: permit,
        }
    }

    /// What an agent that has been started already knows.
    pub(crate) async fn around(consul: Consul) -> Self {
        Self {
            _permit: AGENTS.acquire().await.unwrap(),
            client: consul.client(),
            node: consul.node().to_owned(),
            consul,
        }
    }

    /// hax, confd and `ios` ios processes, all passing, in the catalog and in KV.
    pub(crate) async fn small(ios: u64) -> Self {
        let cluster = Self::empty().await;
        cluster.fill(ios).await;
        cluster
    }

    /// Makes a small cluster of an empty one.
    pub(crate) async fn fill(&self, ios: u64) {
        self.add_process(&self.node, 0, ["ha", "rms"]).await;
        self.add_process(&self.node, 1, ["rms", "confd"]).await;
        self.register(Instance::new(0, "hax")).await;
        self.register(Instance::new(1, "confd")).await;
        for key in 2..2 + ios {
            self.add_process(&self.node, key, ["rms", "ios"]).await;
            self.register(Instance::new(key, "ios")).await;
        }
    }

    /// Writes a process with services `2 key` and `2 key + 1` to KV, in both layouts.
    pub(crate) async fn add_process(&self, node: &str, key: u64, services: [&str; 2]) {
        let by_name = format!("m0conf/nodes/{node}/processes/{key}");
        let endpoint = format!("inet:tcp:127.0.0.1@{}", 21_000 + key);
        self.put(&format!("{by_name}/endpoint"), &endpoint).await;
        let by_fid = format!(
            "m0conf/nodes/0x6e00000000000001:0x0/processes/{}",
            process(key)
        );
        let object = |name| json!({ "name": name, "state": "M0_NC_UNKNOWN" }).to_string();
        self.put(&by_fid, &object("m0_server")).await;
        for (number, name) in (2 * key..).zip(services) {
            let value = number.to_string();
            self.put(&format!("{by_name}/services/{name}"), &value)
                .await;
            let key = format!("{by_fid}/services/{}", service(number));
            self.put(&key, &object(name)).await;
        }
    }

    /// Registers an instance on the agent's node, with a check named `service:<id>`.
    pub(crate) async fn register(&self, instance: Instance) {
        let mut check = CheckSpec::new(CheckKind::Ttl { ttl: TTL });
        check.status = Some(instance.status);
        let mut registration = ServiceRegistration::new(instance.id.clone(), instance.name);
        registration.meta = instance.meta().collect();
        registration.address = instance.address;
        registration.port = instance.port;
        registration.checks = vec![check];
        let agent = self.client.agent();
        agent.register_service(&registration).await.unwrap();
        // The agent registers on its own and tells the catalog later.
        self.wait_status(&instance.id, instance.status).await;
    }

    /// Registers an instance on a node that has no agent.
    pub(crate) async fn register_on(&self, node: &str, instance: Instance) {
        let mut registration = Registration::new(node, "127.0.0.1");
        registration.check = Some(CatalogCheck {
            check_id: format!("service:{}", instance.id),
            name: "status".to_owned(),
            status: instance.status,
            output: String::new(),
            service_id: instance.id.clone(),
        });
        registration.service = Some(Service {
            meta: instance.meta().collect(),
            id: instance.id.clone(),
            name: instance.name.to_owned(),
            address: instance.address,
            port: instance.port.into(),
            tags: Vec::new(),
            create_index: Index(0),
            modify_index: Index(0),
        });
        self.client.catalog().register(&registration).await.unwrap();
    }

    /// Takes the instance with this ID out of the agent's catalog.
    pub(crate) async fn deregister(&self, id: &str) {
        self.client.agent().deregister_service(id).await.unwrap();
        eventually(&format!("the catalog without {id}"), async || {
            let checks = self.client.health().node(&self.node).await.ok()?.value;
            checks
                .iter()
                .all(|check| check.service_id != id)
                .then_some(())
        })
        .await;
    }

    /// Sets the check of process `key` on the agent's node, and waits for the catalog to have it.
    pub(crate) async fn set_check(&self, key: u64, status: CheckStatus) {
        let id = format!("service:{key}");
        let agent = self.client.agent();
        agent.check_update(&id, status, "by a test").await.unwrap();
        self.wait_status(&key.to_string(), status).await;
    }

    async fn wait_status(&self, id: &str, status: CheckStatus) {
        eventually(
            &format!("service {id} to be {}", status.as_str()),
            async || {
                let checks = self.client.health().node(&self.node).await.ok()?.value;
                let check = checks.iter().find(|check| check.service_id == id)?;
                (check.status == status).then_some(())
            },
        )
        .await;
    }

    /// Writes a key.
    pub(crate) async fn put(&self, key: &str, value: &str) {
        self.client.kv().put(key, value).await.unwrap();
    }

    /// Reads a key.
    pub(crate) async fn get(&self, key: &str) -> Option<KvPair> {
        self.client.kv().get(key).await.unwrap().value
    }

    /// The status of a process under `processes/`.
    pub(crate) async fn stored(&self, key: u64) -> Option<String> {
        let pair = self.get(&format!("processes/{}", process(key))).await?;
        Some(pair.text().unwrap().to_owned())
    }

    /// Waits until the status of a process has this `state`, without its prefix.
    pub(crate) async fn wait_stored(&self, key: u64, state: &str) {
        let wanted = format!("\"M0_CONF_HA_PROCESS_{state}\",\"type\"");
        eventually(&format!("process {key} {state} in KV"), async || {
            let stored = self.stored(key).await?;
            stored.contains(&wanted).then_some(())
        })
        .await;
    }

    /// What a `service` watch posts: `/v1/health/service/<name>`, as Consul writes it.
    pub(crate) async fn service_payload(&self, name: &str) -> String {
        self.payload(&format!("/v1/health/service/{name}")).await
    }

    /// The body of an API resource, as Consul writes it: what the watch of its kind posts.
    pub(crate) async fn payload(&self, path: &str) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}{path}", self.consul.address());
        let response = client.get(url).send().await.unwrap();
        response.error_for_status().unwrap().text().await.unwrap()
    }

    /// Takes the lock of `leader` for a node, with a session that no check ends.
    pub(crate) async fn lead(&self, node: &str) -> SessionId {
        let mut session = NewSession::new("leader");
        session.node = Some(node.to_owned());
        session.checks = Checks::none();
        session.lock_delay = Duration::ZERO;
        let session = self.client.session().create(&session).await.unwrap();
        let kv = self.client.kv();
        assert!(kv.acquire("leader", node, &session).await.unwrap());
        session
    }
}
