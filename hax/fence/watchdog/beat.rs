//! The beat: that this node can reach Consul, and is not to be fenced by itself.

use std::sync::Arc;
use std::time::Duration;

use consul_client::{Client, Error, KvPair, ReadOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::guard::Guard;
use crate::bridge::SharedVerdicts;
use crate::config::fence::{DeviceKind, FenceConfig, WatchdogConfig};
use crate::fence::coordinator::Lease;
use crate::fence::executor::BootInstant;
use crate::fence::model::{AttemptState, NodeName, NodeRecord, OpId, Operation, Target, keys};

/// The task that beats.
pub struct Beat {
    /// `[fence]`.
    pub config: Arc<FenceConfig>,
    /// The watchdog of this node.
    pub watchdog: WatchdogConfig,
    /// This node.
    pub me: NodeName,
    /// Consul.
    pub consul: Client,
    /// The session of this daemon.
    pub leases: watch::Receiver<Option<Lease>>,
    /// Where it is told that the watchdog is armed, and its bound in milliseconds.
    pub armed: watch::Sender<Option<u64>>,
    /// Opened again by the first beat after the guard has acted.
    pub verdicts: SharedVerdicts,
    /// Who acts without beats.
    pub guard: Guard,
}

/// What a beat has found.
enum Found {
    /// Nothing against this node.
    Clear,
    /// It is to fence itself, by this operation.
    Strike(OpId),
    /// It is fenced, by others or by itself.
    Fenced,
}

impl Beat {
    /// Beats until it is cancelled; then the guard ends without acting.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut well = true;
        loop {
            let sent = BootInstant::now();
            let pause = self.config.session_ttl / 3;
            let outcome = tokio::select! {
                () = cancel.cancelled() => break,
                outcome = tokio::time::timeout(pause, self.beat()) => outcome,
            };
            let beaten = match outcome {
                Ok(Ok(Some(found))) => {
                    self.found(&found, sent);
                    true
                }
                Ok(Ok(None)) => false,
                Ok(Err(error)) => {
                    debug!(%error, "a beat has not reached Consul");
                    false
                }
                Err(_) => false,
            };
            match (well, beaten) {
                (true, false) => warn!("a beat of the watchdog has failed"),
                (false, true) => info!("the watchdog beats again"),
                _ => {}
            }
            well = beaten;
            let spent = BootInstant::now().0.saturating_sub(sent.0);
            // One that has failed is sent again soon: the deadline goes on.
            let rest = if beaten { pause } else { pause / 4 };
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(rest.saturating_sub(spent).max(Duration::from_millis(100))) => {}
                // A new session is renewed at once.
                Ok(()) = self.leases.changed() => {}
            }
        }
        self.armed.send_replace(None);
        self.guard.quit();
    }

    fn found(&self, found: &Found, sent: BootInstant) {
        match found {
            Found::Strike(op) if !self.guard.has_acted() => {
                self.guard
                    .strike(&format!("operation {op} runs through it"));
            }
            Found::Strike(_) => {}
            Found::Clear | Found::Fenced => {
                if !self.guard.beat(sent, self.config.session_ttl) {
                    return;
                }
                let bound = self.config.session_ttl + self.watchdog.stop_max;
                let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
                self.armed
                    .send_if_modified(|armed| armed.replace(bound) != Some(bound));
                if matches!(found, Found::Clear) {
                    self.verdicts.update(|verdicts| verdicts.stopped = false);
                }
            }
        }
    }

    /// Renews the session, then reads what is under way against this node; none without a session.
    async fn beat(&self) -> Result<Option<Found>, Error> {
        let lease = self.leases.borrow().clone();
        let Some(lease) = lease else {
            return Ok(None);
        };
        if self.consul.session().renew(&lease.id).await?.is_none() {
            return Ok(None);
        }
        let target = Target::Node(self.me.clone());
        let active = self.read(&keys::active(&target)).await?;
        let id = active.and_then(|pair| pair.text().ok()?.parse::<OpId>().ok());
        if let Some(id) = id
            && let Some(pair) = self.read(&keys::op(&id)).await?
            && strikes(&self.config, &pair.json()?)
        {
            return Ok(Some(Found::Strike(id)));
        }
        // An operation that has just ended has left this; the view may not have it yet.
        let record = self.read(&keys::node(&self.me)).await?;
        let record = record.map(|pair| pair.json::<NodeRecord>()).transpose()?;
        let fenced = record.is_some_and(|record| record.fenced.is_some());
        Ok(Some(if fenced { Found::Fenced } else { Found::Clear }))
    }

    async fn read(&self, key: &str) -> Result<Option<KvPair>, Error> {
        let kv = self.consul.kv().with(ReadOptions::consistent());
        Ok(kv.get(key).await?.value)
    }
}

/// Whether an operation runs through the target's own watchdog.
fn strikes(config: &FenceConfig, op: &Operation) -> bool {
    let Some((_, attempt)) = op.open_attempt().filter(|_| op.ended().is_none()) else {
        return false;
    };
    let running = matches!(attempt.state, AttemptState::Running { .. });
    running
        && op.action.fences()
        && op.steps_of(attempt).any(|step| {
            let device = config.device(&step.device);
            device.is_some_and(|device| matches!(device.kind, DeviceKind::Watchdog(_)))
        })
}
