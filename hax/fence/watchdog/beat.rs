//! The beat: that this node can reach Consul, and is not to be fenced by itself.

use std::sync::Arc;
use std::time::Duration;

use consul_client::{Client, Error, KvPair, ReadOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::feed::FeedHandle;
use crate::config::fence::{DeviceKind, FenceConfig};
use crate::fence::FenceView;
use crate::fence::coordinator::Lease;
use crate::fence::executor::BootInstant;
use crate::fence::model::{
    AttemptState, NodeName, NodeRecord, OpId, Operation, PeerRecord, Target, keys,
};

/// How long it may take to tell the peers that the watchdog is not armed any more.
const WITHDRAW_MAX: Duration = Duration::from_secs(3);

/// The task that beats.
pub struct Beat {
    /// `[fence]`.
    pub config: Arc<FenceConfig>,
    /// This node.
    pub me: NodeName,
    /// Consul.
    pub consul: Client,
    /// The session of this daemon.
    pub leases: watch::Receiver<Option<Lease>>,
    /// What is under way, as the last view has it: a step against this node is looked at at once.
    pub views: watch::Receiver<Arc<FenceView>>,
    /// Who is told.
    pub feed: FeedHandle,
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
    /// Beats until it is cancelled; then the watchdog is disarmed, if the peers can be told first.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut well = true;
        loop {
            let struck = is_struck(&self.config, &self.me, &self.views.borrow());
            let sent = BootInstant::now();
            let pause = self.config.session_ttl / 3;
            let outcome = tokio::select! {
                () = cancel.cancelled() => break,
                outcome = tokio::time::timeout(pause, self.beat()) => outcome,
            };
            let beaten = match outcome {
                Ok(Ok(Some(found))) => {
                    self.found(&found, sent).await;
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
            let rest = rest.saturating_sub(spent).max(Duration::from_millis(100));
            let (me, config) = (&self.me, &self.config);
            let struck = self
                .views
                .wait_for(|view| !struck && is_struck(config, me, view));
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(rest) => {}
                // A new session is renewed at once.
                Ok(()) = self.leases.changed() => {}
                Ok(_) = struck => {}
            }
        }
        match tokio::time::timeout(WITHDRAW_MAX, self.retire()).await {
            Ok(Ok(())) => info!("the watchdog is disarmed"),
            Ok(Err(why)) => warn!(why, "the watchdog stays armed"),
            Err(_) => warn!(
                "the watchdog stays armed: the peers could not be told that it is not any more"
            ),
        }
    }

    async fn found(&self, found: &Found, sent: BootInstant) {
        let clear = match found {
            Found::Strike(op) => {
                let why = format!("operation {op} runs through it");
                return self.feed.strike(why).await;
            }
            Found::Clear => true,
            Found::Fenced => false,
        };
        self.feed.beat(sent, self.config.session_ttl, clear).await;
    }

    /// The peers are told first. A step that was started before that is seen here, for a start and the
    /// record of this peer are in one order; one that comes later cannot start.
    async fn retire(&self) -> Result<(), String> {
        self.feed.withdraw().await;
        let away = |error: Error| format!("Consul does not answer: {error}");
        while let Some(pair) = self.read(&keys::peer(&self.me)).await.map_err(away)? {
            let record: PeerRecord = pair.json().map_err(away)?;
            if record.watchdog_ms.is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if let Some(op) = self.strike().await.map_err(away)? {
            let why = format!("operation {op} runs through it");
            self.feed.strike(why.clone()).await;
            return Err(why);
        }
        match self.feed.disarm().await {
            true => Ok(()),
            false => Err("the watchdog process does not answer".to_owned()),
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
        if let Some(op) = self.strike().await? {
            return Ok(Some(Found::Strike(op)));
        }
        // An operation that has just ended has left this; the view may not have it yet.
        let record = self.read(&keys::node(&self.me)).await?;
        let record = record.map(|pair| pair.json::<NodeRecord>()).transpose()?;
        let fenced = record.is_some_and(|record| record.fenced.is_some());
        Ok(Some(if fenced { Found::Fenced } else { Found::Clear }))
    }

    /// The operation that runs through this node's watchdog, if there is one.
    ///
    /// # Errors
    /// Consul did not answer, or has what cannot be read.
    async fn strike(&self) -> Result<Option<OpId>, Error> {
        let target = Target::Node(self.me.clone());
        let active = self.read(&keys::active(&target)).await?;
        let Some(active) = active else {
            return Ok(None);
        };
        // What cannot be read may be a strike: that is no beat.
        let id: OpId = active.text()?.parse().map_err(|error| Error::Decode {
            path: active.key.clone(),
            reason: format!("{error}"),
        })?;
        let op = self.read(&keys::op(&id)).await?;
        let op: Option<Operation> = op.map(|pair| pair.json()).transpose()?;
        Ok(op
            .is_some_and(|op| strikes(&self.config, &op))
            .then_some(id))
    }

    async fn read(&self, key: &str) -> Result<Option<KvPair>, Error> {
        let kv = self.consul.kv().with(ReadOptions::consistent());
        Ok(kv.get(key).await?.value)
    }
}

/// Whether an operation runs through a node's own watchdog, as a view has it.
fn is_struck(config: &FenceConfig, me: &NodeName, view: &FenceView) -> bool {
    let op = view.active_op(&Target::Node(me.clone()));
    op.is_some_and(|op| strikes(config, &op.value))
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
