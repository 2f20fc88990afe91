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
