//! State of the server cluster (Consul API, "Status").

use crate::client::Client;
use crate::error::Error;

/// Handle to the cluster's state; see [`Client::status`].
#[derive(Debug, Clone, Copy)]
pub struct Status<'c> {
    client: &'c Client,
}

impl<'c> Status<'c> {
    pub(crate) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// Address of the Raft leader, `host:port`; `None` while there is none.
    pub async fn leader(&self) -> Result<Option<String>, Error> {
        let leader: String = self
            .client
            .get("/v1/status/leader".into())
            .fetch()
            .await?
            .value;
        Ok(Some(leader).filter(|leader| !leader.is_empty()))
    }

    /// Whether autopilot takes a server that has failed out of the cluster, and so its node with all its
    /// checks out of the catalog. Needs `operator:read` where ACLs are on.
    pub async fn cleans_up_dead_servers(&self) -> Result<bool, Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Autopilot {
            cleanup_dead_servers: bool,
        }
        let request = self
            .client
            .get("/v1/operator/autopilot/configuration".into());
        let autopilot = request.fetch::<Autopilot>().await?.value;
        Ok(autopilot.cleanup_dead_servers)
    }

    /// Addresses of the Raft peers.
    pub async fn peers(&self) -> Result<Vec<String>, Error> {
        let request = self.client.get("/v1/status/peers".into());
        Ok(request
            .fetch::<Option<Vec<String>>>()
            .await?
            .value
            .unwrap_or_default())
    }
}
