//! User events (Consul API, "Event").
//!
//! Events are gossip: they may be lost or arrive twice. Their index is made from the last
//! event's identifier and does not grow, so there is no watch for them.

use serde::{Deserialize, Serialize};

use crate::client::{Client, ReadOptions, Response, with_read_options};
use crate::error::Error;
use crate::request::name_path;
use crate::types::{base64_bytes, null_default};

/// Handle to user events; see [`Client::event`].
#[derive(Debug, Clone, Copy)]
pub struct Events<'c> {
    client: &'c Client,
    read: ReadOptions,
}

with_read_options!(Events);

/// A user event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// UUID of the event.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name.
    pub name: String,
    /// Payload.
    #[serde(default, with = "base64_bytes")]
    pub payload: Vec<u8>,
    /// Lamport time; zero in the answer to [`Events::fire`].
    #[serde(rename = "LTime", default, deserialize_with = "null_default")]
    pub ltime: u64,
}

impl Events<'_> {
    /// Sends an event to all agents of the datacenter. The payload should stay below 100 bytes:
    /// it travels in gossip packets, and Consul refuses more than 512 bytes in all.
    pub async fn fire(&self, name: &str, payload: impl Into<Vec<u8>>) -> Result<Event, Error> {
        let path = name_path("/v1/event/fire/", "event", name)?;
        Ok(self
            .client
            .put(path)
            .body(payload.into())
            .fetch()
            .await?
            .value)
    }

    /// Reads the events the local agent remembers (at most 256), the oldest first.
    pub async fn list(&self, name: Option<&str>) -> Result<Response<Vec<Event>>, Error> {
        let mut request = self.client.get("/v1/event/list".into());
        if let Some(name) = name {
            request = request.query("name", name.to_owned());
        }
        request.read_options(self.read).fetch().await
    }
}
