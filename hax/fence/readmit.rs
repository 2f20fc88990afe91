//! Bringing this node back after it was fenced (`rfc/12-fencing.md`, "Fenced, and back").

use std::sync::Arc;
use std::time::Duration;

use consul_client::{Client, Error, ReadOptions};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::handle::{Ask, FenceHandle};
use super::model::{Action, NodeName, NodeRecord, Source, Target, keys};
use crate::config::fence::{FenceConfig, Readmit};

/// Pauses after a try that did not succeed: the first one, and the longest.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(300);

/// The task that brings this node back.
#[derive(Debug)]
pub struct Readmission {
    /// `[fence]`.
    pub config: Arc<FenceConfig>,
    /// This node.
    pub me: NodeName,
    /// Its boot ID; empty if it is not known, and then only an operator brings it back.
    pub boot_id: String,
    /// Whether there are devices whose `on` is required.
    pub automatic: bool,
    /// Consul.
    pub consul: Client,
    /// Who switches on.
    pub handle: FenceHandle,
}

/// What a record means for its own node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It takes part.
    Free,
    /// It was fenced, and has been started since.
    Back,
    /// Only an operator brings it back, and why.
    Operator(&'static str),
}

impl Readmission {
    /// Brings it back whenever it can, until it is cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let mut views = self.handle.views();
        let mut pause = AGAIN;
        let mut said = Standing::Free;
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let record = view.nodes.get(&self.me).map(|record| &record.value);
            let standing = self.standing(record);
            if let Standing::Operator(why) = standing
                && said != standing
            {
                warn!(
                    why,
                    "this node is fenced, and only an operator brings it back"
                );
            }
            said = standing;
            let mut again = None;
            if standing == Standing::Back {
                match cancel.run_until_cancelled(self.bring_back()).await {
                    None => return,
                    Some(Ok(())) => pause = AGAIN,
                    Some(Err(why)) => {
                        warn!(why, ?pause, "this node cannot be brought back yet");
                        again = Some(pause);
                        pause = (pause * 2).min(AGAIN_MAX);
                    }
                }
            }
            let later = async {
                match again {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = views.changed(), if again.is_none() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = later => {}
            }
        }
    }

    fn standing(&self, record: Option<&NodeRecord>) -> Standing {
        let Some(record) = record else {
            return Standing::Free;
        };
        let Some(fenced) = &record.fenced else {
            return Standing::Free;
        };
        match &fenced.boot_id {
            _ if record.quarantined.is_some() => Standing::Operator("it is quarantined"),
            _ if self.config.readmit == Readmit::Operator => {
                Standing::Operator("fence.readmit says so")
            }
            _ if self.boot_id.is_empty() => Standing::Operator("its boot ID cannot be read"),
            None => Standing::Operator("its boot ID was not known when it was fenced"),
            Some(then) if *then == self.boot_id => {
                Standing::Operator("it has not been started anew since")
            }
            Some(_) => Standing::Back,
        }
    }

    /// Switches the node on through its automatic devices, which the plan finds, and clears the fence.
    async fn bring_back(&self) -> Result<(), String> {
        if self.automatic {
            let ask = Ask {
                id: None,
                target: Target::Node(self.me.clone()),
                action: Action::On,
                source: Source::Readmission,
                who: "readmission".to_owned(),
                reason: "the node has been started anew".to_owned(),
                tolerance: Duration::ZERO,
                device: None,
                delay: Duration::ZERO,
                overridden: false,
                expire: None,
            };
            let taken = self.handle.request(ask).await;
            let taken = taken.map_err(|refused| refused.to_string())?;
            let op = self.handle.ended(&taken.op).await;
            let outcome = op.and_then(|op| op.ended().map(|end| end.outcome));
            if !outcome.is_some_and(|outcome| outcome.is_success()) {
                return Err(format!("operation {} did not succeed", taken.op));
            }
        }
        self.clear().await.map_err(|error| error.to_string())
    }

    /// Clears the fence, if the record is still about an earlier boot.
    async fn clear(&self) -> Result<(), Error> {
        let key = keys::node(&self.me);
        let kv = self.consul.kv().with(ReadOptions::consistent());
        let Some(pair) = kv.get(&key).await?.value else {
            return Ok(());
        };
        let mut record: NodeRecord = pair.json()?;
        if self.standing(Some(&record)) != Standing::Back {
            return Ok(());
        }
        let fenced = record.fenced.take();
        // Plain data with text keys always has a JSON form.
        let value = serde_json::to_vec(&record).unwrap_or_default();
        if self.consul.kv().cas(&key, value, pair.modify_index).await? {
            let op = fenced.map(|fenced| fenced.op.to_string());
            info!(
                op,
                "this node is back: it has been started anew since it was fenced"
            );
        }
        // Else somebody has changed it, and the view will say so.
        Ok(())
    }
}
