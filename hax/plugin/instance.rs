//! What an instance of a plugin is, to its kind and to the supervisor.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consul_client::Client;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::feed::Feed;

/// Bytes of an instance's name.
pub const INSTANCE_NAME_MAX: usize = 64;

/// The name of an instance: that of its snippet, without `.toml`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct InstanceName(Arc<str>);

impl InstanceName {
    /// A name.
    ///
    /// # Errors
    /// The rule that it breaks, to follow the name in a message.
    pub fn new(name: &str) -> Result<Self, &'static str> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match name {
            "" => Err("is empty"),
            _ if name.len() > INSTANCE_NAME_MAX => Err("is longer than 64 bytes"),
            _ if name.starts_with(['.', '-']) => Err("begins with `.` or `-`"),
            _ if !name.chars().all(allowed) => {
                Err("has other characters than letters, digits, `-`, `_` and `.`")
            }
            _ => Ok(Self(name.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an instance has ended, or was not made: words for people, with no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// How far an instance is in its start, and what it adds to `status`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Starting {
    ready: watch::Sender<bool>,
    detail: Arc<Mutex<serde_json::Value>>,
}

impl Default for Starting {
    fn default() -> Self {
        Self {
            ready: watch::Sender::new(false),
            detail: Arc::default(),
        }
    }
}

impl Starting {
    /// What can fail at the beginning is done.
    pub fn ready(&self) {
        self.ready.send_replace(true);
    }

    /// Told when the instance is ready.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Sets what the kind shows of itself in `status`.
    pub fn show(&self, detail: serde_json::Value) {
        *self.detail.lock().unwrap_or_else(PoisonError::into_inner) = detail;
    }

    /// What the kind shows of itself.
    pub fn detail(&self) -> serde_json::Value {
        self.detail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// How an order has ended: what is shown, or why it was not done.
pub type OrderReply = oneshot::Sender<Result<serde_json::Value, Failure>>;

/// What an operator wants of one instance; kinds that do not know an order refuse it.
#[derive(Debug)]
pub enum Order {
    /// Give a resource to another node.
    Evict {
        /// The resource; none: the only one.
        resource: Option<String>,
        /// The node that is to have it; none: any.
        to: Option<String>,
        /// How long another node may take.
        timeout: Duration,
        /// This node does not take it again by itself.
        keep_masked: bool,
        /// Take back what `keep_masked` left, and do nothing else.
        unmask: bool,
        /// The answer.
        reply: OrderReply,
    },
    /// Start only a part of a resource's list.
    StartUntil {
        /// The resource; none: the only one.
        resource: Option<String>,
        /// A number, the name of a unit, or `all`.
        until: String,
        /// The answer.
        reply: OrderReply,
    },
}

impl Order {
    /// Answers that instances of this kind do not know it.
    pub fn refuse(self, kind: &str) {
        let (Self::Evict { reply, .. } | Self::StartUntil { reply, .. }) = self;
        let why =
            format!("instances of the kind {kind} have no resources to give away or to start");
        // Whoever does not wait for the answer any more needs none.
        let _ = reply.send(Err(Failure(why)));
    }
}

/// What an instance is given.
#[derive(Debug)]
pub struct Context {
    /// Its name.
    pub name: InstanceName,
    /// This node's name in Consul.
    pub node: Arc<str>,
    /// Events.
    pub feed: Feed,
    /// Cancelled when it is to stop.
    pub stop: CancellationToken,
    /// For saying that it is ready, and what it does.
    pub starting: Starting,
    /// What operators want of it.
    pub orders: mpsc::Receiver<Order>,
    /// Consul.
    pub consul: Client,
    /// A directory for what must survive the daemon but not the machine.
    pub runtime_dir: PathBuf,
}

/// What runs in the thread of an instance, from its start to its end.
pub type Running = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// A prepared instance: what could be checked and taken without doing anything has been.
pub trait Plugin: Send {
    /// Runs until `context.stop` is cancelled. Whatever blocks, blocks only this instance.
    ///
    /// # Errors
    /// Why it cannot go on; it is started again after a backoff.
    fn run(self: Box<Self>, context: Context) -> Running;

    /// How much longer than `plugins.stop_timeout` it may take to stop.
    fn stop_extra(&self) -> Duration {
        Duration::ZERO
    }
}
