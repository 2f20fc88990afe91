//! The HTTP server: what Consul's watches post, and what an operator asks (5/HAX,
//! "Incoming HTTP requests").
//!
//! | request | meaning |
//! |---|---|
//! | `GET /` | alive: version and uptime |
//! | `GET /v1/status` | state of the bridge |
//! | `GET /metrics` | counters and latencies, in the text format of Prometheus |
//! | `POST /`, `POST /watch/service` | payload of a `service` watch |
//! | `GET /v1/dead-letters` | messages that Consul refuses for good |
//! | `POST /v1/dead-letters/replay`, `/v1/dead-letters/ID/replay` | handle all, or that one, again |
//! | `DELETE /v1/dead-letters/ID` | acknowledge it and write nothing |
//! | `POST /watch/checks`, `/watch/nodes`, `/watch/keyprefix` | payload of those watches |
//! | `/v1/plugins`, `/v1/plugins/…` | plugins; see `rfc/14-plugins.md` |
//! | `/v1/fence`, `/v1/fence/…` | fencing; see [`fence`] |
//!
//! Payloads are parsed here, and reach the bridge as [`WatchUpdate`]s, one at a time and
//! in the order in which their bodies were complete. Every refusal is a JSON object with
//! `error`, a short code, and `detail`: what, where, and what to do.

mod body;
mod dead_letters;
pub mod fence;
mod guard;
mod lane;
mod payload;
mod plugins;
mod reply;
mod router;
mod server;
mod socket;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

pub use payload::{Watch, parse as parse_payload};
pub use reply::Refusal;
pub use router::router;
pub use server::serve;

use crate::bridge::{BridgeHandle, LetterRow, update::WatchUpdate};
pub use crate::bridge::{WatchError, WatchOutcome};
use crate::fence::FenceHandle;
use crate::plugin::PluginsHandle;

/// What the server needs of the bridge.
pub trait Bridge: Clone + Send + Sync + 'static {
    /// Forwards an update to Motr. Called for one update at a time, and polled to its end
    /// even if the client has gone, unless the server is stopped by force.
    fn watch(
        &self,
        update: WatchUpdate,
    ) -> impl Future<Output = Result<WatchOutcome, WatchError>> + Send;

    /// The state of the bridge, for people and monitoring.
    fn status(&self) -> impl Future<Output = serde_json::Value> + Send;

    /// Messages that Consul refuses for good.
    fn dead_letters(&self) -> Vec<LetterRow>;

    /// Hands one dead letter, or all, to the dispatcher again; returns their IDs.
    fn replay(&self, id: Option<u64>) -> impl Future<Output = Vec<u64>> + Send;

    /// Acknowledges a dead letter without writing it; returns whether it was there.
    fn discard(&self, id: u64) -> impl Future<Output = bool> + Send;

    /// What Prometheus is told. It does not wait for anything.
    fn metrics(&self) -> String;

    /// Fencing, where it is configured.
    fn fence(&self) -> Option<FenceHandle>;

    /// Plugins, where they are configured.
    fn plugins(&self) -> Option<PluginsHandle> {
        None
    }
}

impl Bridge for BridgeHandle {
    async fn watch(&self, update: WatchUpdate) -> Result<WatchOutcome, WatchError> {
        Self::watch(self, update).await
    }

    async fn status(&self) -> serde_json::Value {
        // Every member is plain data, so this fails never; if it did, the reply would say so.
        serde_json::to_value(Self::status(self)).unwrap_or_else(|error| error.to_string().into())
    }

    fn dead_letters(&self) -> Vec<LetterRow> {
        Self::dead_letters(self)
    }

    async fn replay(&self, id: Option<u64>) -> Vec<u64> {
        Self::replay(self, id).await
    }

    async fn discard(&self, id: u64) -> bool {
        Self::discard(self, id).await
    }

    fn metrics(&self) -> String {
        Self::metrics(self)
    }

    fn fence(&self) -> Option<FenceHandle> {
        self.fence.clone()
    }

    fn plugins(&self) -> Option<PluginsHandle> {
        self.plugins.clone()
    }
}

/// Bounds of everything a client can make the server hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest body, in bytes. All bodies held at once are at most four times that.
    pub body: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a request's head may take, and how long a connection may be idle.
    pub header_timeout: Duration,
    /// How long a client may leave a reply unread.
    pub write_timeout: Duration,
    /// How long the bridge may take to tell its status.
    pub status_timeout: Duration,
    /// Connections served at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Watch posts that wait for the one being handled; further ones are refused.
    pub waiting: usize,
    /// How long requests under way may take once the server is told to stop.
    pub drain: Duration,
}

impl Limits {
    /// The daemon's limits with this largest body, in bytes.
    pub fn with_body(body: usize) -> Self {
        Self {
            body,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            // Consul gives up on a watch handler after 10 s.
            body_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            status_timeout: Duration::from_secs(5),
            connections: 256,
            waiting: 64,
            drain: Duration::from_secs(5),
        }
    }
}
