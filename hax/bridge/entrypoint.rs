//! Building entrypoint replies from Consul (`rfc/5-hax.md`, "Entrypoint").

use consul_client::{CatalogService, Client};
use futures_util::future::try_join_all;
use halink::{Confd, EntrypointReply, Fid};

use crate::cluster::{LEADER_KEY, process_of_service_id, service_fid};

/// The name of the confds' service in the catalog.
const CONFD: &str = "confd";

/// Why there is no entrypoint to give. Each means EAGAIN to the process.
#[derive(Debug, thiserror::Error)]
pub enum EntrypointError {
    /// Consul could not be asked.
    #[error("asking Consul: {0}")]
    Consul(#[from] consul_client::Error),
    /// Nobody holds `leader`.
    #[error("no session holds the key `leader`: there is no principal RM")]
    NoLeader,
    /// The catalog has no confd.
    #[error("the catalog has no service `{CONFD}`")]
    NoConfd,
    /// The principal RM node has no confd.
    #[error("node {0} holds the leader lock, but the catalog has no confd there")]
    NoConfdOnLeader(String),
    /// A confd's service ID is not a process.
    #[error("service ID {id:?} of a confd on node {node} is neither a fid nor a decimal key")]
    ServiceId {
        /// The ID.
        id: String,
        /// Where it is registered.
        node: String,
    },
    /// A key is missing or holds no fid.
    #[error("key {0} is missing, or holds neither a decimal key nor a fid")]
    ServiceKey(String),
    /// A confd has no endpoint, in the catalog or in KV.
    #[error("confd {process} on node {node} has no endpoint in the catalog or in KV")]
    NoEndpoint {
        /// The confd's process.
        process: Fid,
        /// Its node.
        node: String,
    },
}

/// A confd of the catalog with what `m0conf/` says of its process.
struct FoundConfd {
    node: String,
    process: Fid,
    confd: Confd,
    rm: Fid,
}

/// What entrypoint replies are built from, as Consul had it at one moment.
#[derive(Default)]
pub struct Facts {
    leader: Option<String>,
    confds: Vec<FoundConfd>,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// Consul's; a confd of the catalog that `m0conf/` does not describe.
    pub async fn read(consul: &Client) -> Result<Self, EntrypointError> {
        let (leader, confds) = tokio::try_join!(leader_node(consul), confds(consul))?;
        Ok(Self { leader, confds })
    }

    /// A cluster of one confd, which leads.
    #[cfg(test)]
    pub fn of_one(node: &str, process: Fid) -> Self {
        let found = FoundConfd {
            node: node.to_owned(),
            process,
            confd: Confd {
                fid: process,
                endpoint: String::new(),
            },
            rm: process,
        };
        Self {
            leader: Some(node.to_owned()),
            confds: vec![found],
        }
    }

    /// The reply for `process`. `own` is the bridge's own process, on node `own_node`.
    ///
    /// # Errors
    /// There is no principal RM to name.
    pub fn reply(
        &self,
        process: Fid,
        own: Fid,
        own_node: &str,
    ) -> Result<EntrypointReply, EntrypointError> {
        let confds = &self.confds;
        if confds.is_empty() {
            return Err(EntrypointError::NoConfd);
        }
        let principal = match &self.leader {
            Some(node) => confds
                .iter()
                .find(|found| found.node == *node)
                .ok_or_else(|| EntrypointError::NoConfdOnLeader(node.clone()))?,
            // Amendment A2: confds and the bridge must be able to start before there is a leader.
            None if process == own => confds
                .iter()
                .find(|found| found.node == own_node)
                .unwrap_or(&confds[0]),
            None => confds
                .iter()
                .find(|found| found.process == process)
                .ok_or(EntrypointError::NoLeader)?,
        };
        Ok(EntrypointReply {
            quorum: quorum(confds.len()),
            rm: principal.rm,
            rm_endpoint: principal.confd.endpoint.clone(),
            confds: confds.iter().map(|found| found.confd.clone()).collect(),
        })
    }
}

fn quorum(confds: usize) -> u32 {
    u32::try_from(confds / 2 + 1).unwrap_or(u32::MAX)
}

/// The node of the session that holds `leader`.
async fn leader_node(consul: &Client) -> Result<Option<String>, EntrypointError> {
    let leader = consul.kv().get(LEADER_KEY).await?.value;
    let Some(session) = leader.and_then(|pair| pair.session) else {
        return Ok(None);
    };
    let info = consul.session().info(&session).await?.value;
    Ok(info.map(|info| info.node))
}

async fn confds(consul: &Client) -> Result<Vec<FoundConfd>, EntrypointError> {
    let instances = consul.catalog().service(CONFD).await?.value;
    try_join_all(
        instances
            .iter()
            .map(|instance| found_confd(consul, instance)),
    )
    .await
}

async fn found_confd(
    consul: &Client,
    instance: &CatalogService,
) -> Result<FoundConfd, EntrypointError> {
    let node = &instance.node;
    let process =
        process_of_service_id(&instance.service_id).ok_or_else(|| EntrypointError::ServiceId {
            id: instance.service_id.clone(),
            node: node.clone(),
        })?;
    let prefix = format!("m0conf/nodes/{node}/processes/{}/", process.key());
    let pairs = consul.kv().list(&prefix).await?.value;
    let value = |name: &str| {
        let key = format!("{prefix}{name}");
        pairs
            .iter()
            .find(|pair| pair.key == key)
            .map(|pair| pair.value.as_slice())
    };
    let service = |name: &str| {
        let fid = value(&format!("services/{name}")).and_then(service_fid);
        fid.ok_or_else(|| EntrypointError::ServiceKey(format!("{prefix}services/{name}")))
    };
    let stored = || value("endpoint").and_then(|value| String::from_utf8(value.to_vec()).ok());
    let endpoint = endpoint(instance)
        .or_else(stored)
        .filter(|endpoint| !endpoint.is_empty());
    let endpoint = endpoint.ok_or_else(|| EntrypointError::NoEndpoint {
        process,
        node: node.clone(),
    })?;
    Ok(FoundConfd {
        node: node.clone(),
        process,
        confd: Confd {
            fid: service(CONFD)?,
            endpoint,
        },
        rm: service("rms")?,
    })
}

/// The endpoint that a catalog entry describes; `None` if it has no address of its own.
fn endpoint(instance: &CatalogService) -> Option<String> {
    let address = instance.service_address.as_str();
    if address.is_empty() {
        return None;
    }
    let transport = instance
        .service_meta
        .get("transport_type")
        .map(String::as_str);
    let separator = match transport {
        Some("lnet") => ':',
        Some(_) => '@',
        None if address.contains('@') => ':',
        None => '@',
    };
    Some(format!("{address}{separator}{}", instance.service_port))
}
