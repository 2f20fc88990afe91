//! `fence/peers/<node>`: what this peer can reach, and that it is alive. Readiness drills.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use consul_client::{Error, SessionId};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::context::{Context, json};
use crate::fence::model::{DeviceName, NodeName, PeerRecord, Reach, keys};

/// Between two tries to publish.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// From a change of the catalog's nodes to the next look at the devices.
const SETTLE: Duration = Duration::from_secs(5);

/// From a look at which a device was not ready to the next, at the latest.
const NOT_READY: Duration = Duration::from_secs(60);

/// Devices that are looked at at one time.
const LOOKS_MAX: usize = 4;

/// A look at all devices.
type Look = Pin<Box<dyn Future<Output = BTreeMap<DeviceName, Reach>> + Send>>;

/// Publishes what this peer can do.
pub(super) struct Publisher {
    context: Context,
    /// Set by the watchdog while it is armed, in milliseconds.
    watchdog: watch::Receiver<Option<u64>>,
    /// Has the session looked at.
    doubts: Arc<Notify>,
    record: PeerRecord,
    /// The session under which the record as it is now has been written.
    written: Option<SessionId>,
    /// It has been said that another session has the key.
    waiting: bool,
    /// The names of the nodes that were last looked for.
    looked: Vec<NodeName>,
}

impl Publisher {
    pub(super) fn new(
        context: Context,
        watchdog: watch::Receiver<Option<u64>>,
        doubts: Arc<Notify>,
    ) -> Self {
        Self {
            context,
            watchdog,
            doubts,
            record: PeerRecord::default(),
            written: None,
            waiting: false,
            looked: Vec::new(),
        }
    }

    /// Publishes until `cancel` is cancelled, then gives the key up.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        self.record.boot_id = boot_id(&self.context.config.boot_id_file).await;
        let interval = self.context.config.drill_interval;
        let mut leases = self.context.leases.clone();
        let mut views = self.context.views.clone();
        let mut nodes = self.context.nodes.clone();
        let mut look: Option<Look> = None;
        // The first nodes are on their way.
        let mut due = Some(Instant::now() + TRY_AGAIN);
        let mut again = Instant::now();
        loop {
            self.record.watchdog_ms = *self.watchdog.borrow_and_update();
            if self.unwritten() && Instant::now() >= again {
                self.publish().await;
                again = Instant::now() + TRY_AGAIN;
            }
            let pending = self.unwritten() && leases.borrow().is_some();
            tokio::select! {
                () = cancel.cancelled() => break,
                Ok(()) = leases.changed() => {}
                Ok(()) = views.changed() => {
                    let view = Arc::clone(&views.borrow_and_update());
                    let peer = view.peers.get(&self.context.me);
                    let holder = peer.and_then(|peer| peer.session.as_ref());
                    if self.written.is_some() && holder != self.written.as_ref() {
                        // An older state than our own write, or the session is gone.
                        debug!("the view does not have this peer as alive");
                        self.written = None;
                        self.doubts.notify_one();
                        again = again.max(Instant::now() + TRY_AGAIN / 4);
                    }
                }
                Ok(()) = self.watchdog.changed() => self.written = None,
                Ok(()) = nodes.changed() => {
                    let names: Vec<_> = nodes.borrow_and_update().keys().cloned().collect();
                    if names != self.looked {
                        let settle = if self.looked.is_empty() { Duration::ZERO } else { SETTLE };
                        let soon = Instant::now() + settle;
                        due = Some(due.map_or(soon, |due| due.min(soon)));
                    }
                }
                reach = async { look.as_mut()?.await.into() }, if look.is_some() => {
                    look = None;
                    if let Some(reach) = reach {
                        self.take(reach);
                    }
                    let ready = self.record.devices.values().all(|reach| reach.error.is_none());
                    let pause = if ready { interval } else { interval.min(NOT_READY) };
                    let next = (!interval.is_zero()).then(|| Instant::now() + pause);
                    due = due.into_iter().chain(next).min();
                }
                () = until(due), if look.is_none() && due.is_some() => {
                    due = None;
                    look = Some(self.look());
                }
                () = tokio::time::sleep_until(again), if pending => {}
            }
        }
        self.give_up().await;
    }

    /// Whether the record as it is now is not in KV under the present session.
    fn unwritten(&self) -> bool {
        let lease = self.context.leases.borrow();
        let session = lease.as_ref().map(|lease| &lease.id);
        session.is_some() && session != self.written.as_ref()
    }

    async fn publish(&mut self) {
        let Some(lease) = self.context.lease() else {
            return;
        };
        let key = keys::peer(&self.context.me);
        let kv = self.context.consul.kv();
        match kv.acquire(&key, json(&self.record), &lease.id).await {
            Ok(true) => {
                debug!(session = %lease.id, "this peer is published");
                self.written = Some(lease.id);
                self.waiting = false;
            }
            // Most often the session of this daemon's last run, which ends with its TTL.
            Ok(false) if !self.waiting => {
                info!("another session still publishes this peer");
                self.waiting = true;
            }
            Ok(false) => {}
            Err(Error::SessionInvalid { .. }) => self.doubts.notify_one(),
            Err(error) => warn!(%error, "this peer cannot be published"),
        }
    }

    /// A look at every device that can be used from here.
    fn look(&mut self) -> Look {
        let nodes: Vec<NodeName> = self.context.nodes().keys().cloned().collect();
        self.looked.clone_from(&nodes);
        let nodes: Arc<[NodeName]> = nodes.into();
        let executor = self.context.executor.clone();
        let devices: Vec<_> = executor.traits().keys().cloned().collect();
        let looks = stream::iter(devices).map(move |device| {
            let (executor, nodes) = (executor.clone(), Arc::clone(&nodes));
            async move {
                let reach = executor.reach(&device, &nodes).await;
                (device, reach)
            }
        });
        Box::pin(looks.buffer_unordered(LOOKS_MAX).collect())
    }

    /// Takes what a look has found. What is known from before is kept where the look says nothing.
    fn take(&mut self, found: BTreeMap<DeviceName, Reach>) {
        let old = std::mem::take(&mut self.record.devices);
        for (name, mut reach) in found {
            if let Some(old) = old.get(&name) {
                reach.verified = reach.verified.or(old.verified);
                for (node, at) in &old.drilled {
                    reach.drilled.entry(node.clone()).or_insert(*at);
                }
            }
            reach.drilled.retain(|node, _| self.looked.contains(node));
            if let Some(error) = &reach.error {
                warn!(device = %name, error, "a fencing device is not ready");
            }
            self.record.devices.insert(name, reach);
        }
        self.written = None;
    }

    /// Unlocks the key, so that no lock delay follows.
    async fn give_up(self) {
        let Some(session) = self.written else {
            return;
        };
        let key = keys::peer(&self.context.me);
        let kv = self.context.consul.kv();
        if let Err(error) = kv.release(&key, json(&self.record), &session).await {
            debug!(%error, "this peer's key is left for Consul to release");
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The boot ID of this node; empty if it cannot be read, and then only an operator releases the node.
pub(crate) async fn boot_id(file: &std::path::Path) -> String {
    match tokio::fs::read_to_string(file).await {
        Ok(text) => text.trim().chars().take(128).collect(),
        Err(error) => {
            warn!(file = %file.display(), %error, "fence.boot_id_file cannot be read");
            String::new()
        }
    }
}
