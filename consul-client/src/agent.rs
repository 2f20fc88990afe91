//! The local agent: its services and checks (Consul API, "Agent").

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::client::Client;
use crate::error::Error;
use crate::request::name_path;
use crate::types::{CheckStatus, HealthCheck, Service, format_duration, null_default};

/// Handle to the agent the client is connected to; see [`Client::agent`].
#[derive(Debug, Clone, Copy)]
pub struct Agent<'c> {
    client: &'c Client,
}

/// What an agent says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentSelf {
    /// Its configuration.
    pub config: AgentConfig,
    /// Its place in the gossip.
    pub member: Member,
    /// Metadata of its node.
    #[serde(default, deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
}

/// The part of an agent's configuration that is stable between versions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentConfig {
    /// Datacenter.
    pub datacenter: String,
    /// Node name.
    pub node_name: String,
    /// UUID of the node.
    #[serde(rename = "NodeID", default, deserialize_with = "null_default")]
    pub node_id: String,
    /// Whether it is a server.
    #[serde(default, deserialize_with = "null_default")]
    pub server: bool,
    /// Version, such as `1.8.7`.
    #[serde(default, deserialize_with = "null_default")]
    pub version: String,
}

/// A member of the gossip pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Member {
    /// Node name.
    pub name: String,
    /// Address.
    #[serde(default, deserialize_with = "null_default")]
    pub addr: String,
    /// Port of the gossip.
    #[serde(default, deserialize_with = "null_default")]
    pub port: u16,
    /// Tags, such as `role` and `build`.
    #[serde(default, deserialize_with = "null_default")]
    pub tags: BTreeMap<String, String>,
    /// Serf's state: 1 alive, 2 leaving, 3 left, 4 failed.
    #[serde(default, deserialize_with = "null_default")]
    pub status: i64,
}

/// A service to register with the agent, which then keeps it in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceRegistration {
    /// Identifier, unique on the node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Service name.
    pub name: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Address; empty means the node's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Port; zero means none.
    pub port: u16,
    /// Checks of the service. One without identifier gets `service:<id>`, or
    /// `service:<id>:<position from 1>` if there are several.
    pub checks: Vec<CheckSpec>,
}

impl ServiceRegistration {
    /// A service without address and checks.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            tags: Vec::new(),
            meta: BTreeMap::new(),
            address: String::new(),
            port: 0,
            checks: Vec::new(),
        }
    }
}

/// What a check does and how its result is treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckSpec {
    /// Identifier, unique on the node.
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
    /// Name for humans.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Notes for humans.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// State before the first result; critical when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<CheckStatus>,
    /// Remove the service when the check was critical for so long (at least a minute).
    #[serde(
        rename = "DeregisterCriticalServiceAfter",
        skip_serializing_if = "Option::is_none",
        serialize_with = "optional_duration"
    )]
    pub deregister_after: Option<Duration>,
    /// What it does.
    #[serde(flatten)]
    pub kind: CheckKind,
}

impl CheckSpec {
    /// A check without names and with default treatment.
    pub fn new(kind: CheckKind) -> Self {
        Self {
            check_id: None,
            name: String::new(),
            notes: String::new(),
            status: None,
            deregister_after: None,
            kind,
        }
    }
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
pub enum CheckKind {
    /// The application reports; silence for `ttl` is critical.
    Ttl {
        /// Longest silence.
        #[serde(rename = "TTL", serialize_with = "duration")]
        ttl: Duration,
    },
    /// A command: exit code 0 is passing, 1 warning, anything else critical. The agent must
    /// permit local script checks.
    Script {
        /// Program and arguments.
        args: Vec<String>,
        /// Time between two runs.
        #[serde(serialize_with = "duration")]
        interval: Duration,
        /// Longest run.
        #[serde(serialize_with = "duration")]
        timeout: Duration,
    },
    /// An HTTP GET: 2xx is passing, 429 warning, anything else critical.
    Http {
        /// URL.
        #[serde(rename = "HTTP")]
        url: String,
        /// Time between two requests.
        #[serde(serialize_with = "duration")]
        interval: Duration,
        /// Longest request.
        #[serde(serialize_with = "duration")]
        timeout: Duration,
    },
    /// A TCP connection.
    Tcp {
        /// `host:port`.
        #[serde(rename = "TCP")]
        address: String,
        /// Time between two attempts.
        #[serde(serialize_with = "duration")]
        interval: Duration,
        /// Longest attempt.
        #[serde(serialize_with = "duration")]
        timeout: Duration,
    },
}

/// A check to register with the agent on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckRegistration {
    /// Service on this agent the check belongs to; the node when absent.
    #[serde(rename = "ServiceID", skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// The check. It must have a name; the identifier defaults to it.
    #[serde(flatten)]
    pub spec: CheckSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckUpdate<'a> {
    status: CheckStatus,
    output: &'a str,
}

impl<'c> Agent<'c> {
    pub(crate) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// Reads the agent's configuration and membership.
    pub async fn self_(&self) -> Result<AgentSelf, Error> {
        Ok(self
            .client
            .get("/v1/agent/self".into())
            .fetch()
            .await?
            .value)
    }

    /// Reads the services registered with this agent, by identifier.
    pub async fn services(&self) -> Result<BTreeMap<String, Service>, Error> {
        Ok(self
            .client
            .get("/v1/agent/services".into())
            .fetch()
            .await?
            .value)
    }

    /// Reads the checks registered with this agent, by identifier.
    pub async fn checks(&self) -> Result<BTreeMap<String, HealthCheck>, Error> {
        Ok(self
            .client
            .get("/v1/agent/checks".into())
            .fetch()
            .await?
            .value)
    }

    /// Registers a service or replaces one with the same identifier. It reaches the catalog
    /// shortly afterwards.
    pub async fn register_service(&self, service: &ServiceRegistration) -> Result<(), Error> {
        self.client
            .put("/v1/agent/service/register".into())
            .json(service)?
            .execute()
            .await
    }

    /// Removes a service. Consul 1.8 accepts an unknown one, later versions answer
    /// [`Error::NotFound`].
    pub async fn deregister_service(&self, id: &str) -> Result<(), Error> {
        let path = name_path("/v1/agent/service/deregister/", "service id", id)?;
        self.client.put(path).execute().await
    }

    /// Registers a check or replaces one with the same identifier.
    pub async fn register_check(&self, check: &CheckRegistration) -> Result<(), Error> {
        self.client
            .put("/v1/agent/check/register".into())
            .json(check)?
            .execute()
            .await
    }

    /// Removes a check. Consul 1.8 accepts an unknown one, later versions answer
    /// [`Error::NotFound`].
    pub async fn deregister_check(&self, id: &str) -> Result<(), Error> {
        let path = name_path("/v1/agent/check/deregister/", "check id", id)?;
        self.client.put(path).execute().await
    }

    /// Reports success of a TTL check.
    pub async fn check_pass(&self, id: &str, output: &str) -> Result<(), Error> {
        self.check_update(id, CheckStatus::Passing, output).await
    }

    /// Reports a warning of a TTL check.
    pub async fn check_warn(&self, id: &str, output: &str) -> Result<(), Error> {
        self.check_update(id, CheckStatus::Warning, output).await
    }

    /// Reports failure of a TTL check.
    pub async fn check_fail(&self, id: &str, output: &str) -> Result<(), Error> {
        self.check_update(id, CheckStatus::Critical, output).await
    }

    /// Reports the result of a TTL check. Consul keeps the first 4 KiB of the output.
    ///
    /// # Errors
    /// Consul answers status 500 for an unknown check or one that has no TTL.
    pub async fn check_update(
        &self,
        id: &str,
        status: CheckStatus,
        output: &str,
    ) -> Result<(), Error> {
        let path = name_path("/v1/agent/check/update/", "check id", id)?;
        self.client
            .put(path)
            .json(&CheckUpdate { status, output })?
            .execute()
            .await
    }

    /// Makes the agent read its configuration again. What was registered through the API of an
    /// agent without data directory (`-dev`) is lost.
    pub async fn reload(&self) -> Result<(), Error> {
        self.client.put("/v1/agent/reload".into()).execute().await
    }
}

fn duration<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format_duration(*value))
}

fn optional_duration<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => duration(value, to),
        None => to.serialize_none(),
    }
}
