//! Health checks as the servers know them (Consul API, "Health").

use crate::client::{Client, ReadOptions, Response, with_read_options};
use crate::error::Error;
use crate::request::name_path;
use crate::types::{CheckStatus, HealthCheck, ServiceEntry};

/// Handle to health checks; see [`Client::health`].
#[derive(Debug, Clone, Copy)]
pub struct Health<'c> {
    client: &'c Client,
    read: ReadOptions,
}

with_read_options!(Health);

/// Which checks [`Health::state`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateFilter {
    /// All.
    Any,
    /// Passing ones.
    Passing,
    /// Warning ones.
    Warning,
    /// Critical ones.
    Critical,
}

impl StateFilter {
    /// The word Consul uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Passing => CheckStatus::Passing.as_str(),
            Self::Warning => CheckStatus::Warning.as_str(),
            Self::Critical => CheckStatus::Critical.as_str(),
        }
    }
}

impl Health<'_> {
    /// Reads the checks of a node and of the services on it. An unknown node has none.
    pub async fn node(&self, name: &str) -> Result<Response<Vec<HealthCheck>>, Error> {
        let path = name_path("/v1/health/node/", "node", name)?;
        self.client.get(path).read_options(self.read).fetch().await
    }

    /// Reads the checks of all instances of a service, without those of their nodes.
    pub async fn checks(&self, service: &str) -> Result<Response<Vec<HealthCheck>>, Error> {
        let path = name_path("/v1/health/checks/", "service", service)?;
        self.client.get(path).read_options(self.read).fetch().await
    }

    /// Reads all instances of a service with their nodes and checks.
    pub async fn service(&self, name: &str) -> Result<Response<Vec<ServiceEntry>>, Error> {
        let path = name_path("/v1/health/service/", "service", name)?;
        self.client.get(path).read_options(self.read).fetch().await
    }

    /// Reads the instances of a service of which all checks pass, those of the node included.
    pub async fn service_passing(&self, name: &str) -> Result<Response<Vec<ServiceEntry>>, Error> {
        let path = name_path("/v1/health/service/", "service", name)?;
        self.client
            .get(path)
            .flag("passing")
            .read_options(self.read)
            .fetch()
            .await
    }

    /// Reads all checks in a state.
    pub async fn state(&self, filter: StateFilter) -> Result<Response<Vec<HealthCheck>>, Error> {
        let path = format!("/v1/health/state/{}", filter.as_str());
        self.client.get(path).read_options(self.read).fetch().await
    }
}
