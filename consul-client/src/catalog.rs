//! Catalog of nodes and services (Consul API, "Catalog").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::{Client, Index, ReadOptions, Response, with_read_options};
use crate::error::Error;
use crate::request::name_path;
use crate::types::{CheckStatus, Node, Service, null_default};

/// Handle to the catalog; see [`Client::catalog`].
#[derive(Debug, Clone, Copy)]
pub struct Catalog<'c> {
    client: &'c Client,
    read: ReadOptions,
}

with_read_options!(Catalog);

/// An instance of a service with the node it runs on, as `/v1/catalog/service/<name>` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogService {
    /// Node name.
    pub node: String,
    /// UUID of the node's agent; may be empty.
    #[serde(rename = "ID", default, deserialize_with = "null_default")]
    pub node_id: String,
    /// Address of the node.
    #[serde(default, deserialize_with = "null_default")]
    pub address: String,
    /// Datacenter of the node.
    #[serde(default, deserialize_with = "null_default")]
    pub datacenter: String,
    /// Metadata of the node.
    #[serde(default, deserialize_with = "null_default")]
    pub node_meta: BTreeMap<String, String>,
    /// Identifier of the service, unique on its node.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// Service name.
    pub service_name: String,
    /// Tags.
    #[serde(default, deserialize_with = "null_default")]
    pub service_tags: Vec<String>,
    /// Address of the service; empty means the node's.
    #[serde(default, deserialize_with = "null_default")]
    pub service_address: String,
    /// Port. Consul does not check its range, so neither do we.
    #[serde(default, deserialize_with = "null_default")]
    pub service_port: i64,
    /// Metadata of the service.
    #[serde(default, deserialize_with = "null_default")]
    pub service_meta: BTreeMap<String, String>,
    /// Index of the service's creation.
    #[serde(default, deserialize_with = "null_default")]
    pub create_index: Index,
    /// Index of its last change.
    #[serde(default, deserialize_with = "null_default")]
    pub modify_index: Index,
}

/// A node with all its services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogNode {
    /// The node.
    pub node: Node,
    /// Its services by their identifiers.
    #[serde(default, deserialize_with = "null_default")]
    pub services: BTreeMap<String, Service>,
}

/// A node to enter into the catalog, with a service or a check on it. Meant for nodes without an
/// agent: an agent removes entries of its own node that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Registration {
    /// Node name.
    pub node: String,
    /// Address of the node.
    pub address: String,
    /// Metadata of the node.
    pub node_meta: BTreeMap<String, String>,
    /// A service on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// A check on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CatalogCheck>,
}

impl Registration {
    /// A bare node.
    pub fn new(node: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            address: address.into(),
            node_meta: BTreeMap::new(),
            service: None,
            check: None,
        }
    }
}

/// A check entered into the catalog; nobody runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogCheck {
    /// Identifier, unique on its node.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// Name for humans.
    pub name: String,
    /// State.
    pub status: CheckStatus,
    /// What the check found.
    pub output: String,
    /// Service it belongs to; empty for a check of the node.
    #[serde(rename = "ServiceID", skip_serializing_if = "String::is_empty")]
    pub service_id: String,
}

/// What to remove from the catalog: a service, a check, or the whole node when neither is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Deregistration {
    /// Node name.
    pub node: String,
    /// Identifier of a service.
    #[serde(rename = "ServiceID", skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// Identifier of a check.
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
}

impl Catalog<'_> {
    /// Reads all nodes.
    pub async fn nodes(&self) -> Result<Response<Vec<Node>>, Error> {
        self.client
            .get("/v1/catalog/nodes".into())
            .read_options(self.read)
            .fetch()
            .await
    }

    /// Reads the names of all services, each with the tags its instances have.
    pub async fn services(&self) -> Result<Response<BTreeMap<String, Vec<String>>>, Error> {
        self.client
            .get("/v1/catalog/services".into())
            .read_options(self.read)
            .fetch()
            .await
    }

    /// Reads the instances of a service, in the catalog's order. None is not an error.
    pub async fn service(&self, name: &str) -> Result<Response<Vec<CatalogService>>, Error> {
        let path = name_path("/v1/catalog/service/", "service", name)?;
        self.client.get(path).read_options(self.read).fetch().await
    }

    /// Reads a node with its services.
    pub async fn node(&self, name: &str) -> Result<Response<Option<CatalogNode>>, Error> {
        let path = name_path("/v1/catalog/node/", "node", name)?;
        self.client.get(path).read_options(self.read).fetch().await
    }

    /// Enters a node, a service or a check, or changes it.
    pub async fn register(&self, registration: &Registration) -> Result<(), Error> {
        self.client
            .put("/v1/catalog/register".into())
            .json(registration)?
            .execute()
            .await
    }

    /// Removes a node, a service or a check. A missing one is no error.
    pub async fn deregister(&self, entry: &Deregistration) -> Result<(), Error> {
        self.client
            .put("/v1/catalog/deregister".into())
            .json(entry)?
            .execute()
            .await
    }
}
