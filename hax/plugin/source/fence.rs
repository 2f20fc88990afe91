//! Operations of fencing, as their records under `fence/` have them.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::fence::FenceView;
use crate::fence::model::{Operation, Phase};
use crate::plugin::{Fence, Hub, Object, SourceId};

/// Follows what is stored under `fence/`.
#[derive(Debug)]
pub struct FenceSource {
    /// The records.
    pub view: watch::Receiver<Arc<FenceView>>,
}

impl FenceSource {
    /// Tells the hub of every change until it is cancelled, or fencing ends.
    pub async fn run(mut self, hub: Hub, cancel: CancellationToken) {
        loop {
            let view = Arc::clone(&self.view.borrow_and_update());
            let ops = view.ops.values().map(|op| object(&op.value));
            hub.resync(SourceId::Fence, ops);
            hub.set_status(SourceId::Fence, |status| status.up = true);
            match cancel.run_until_cancelled(self.view.changed()).await {
                Some(Ok(())) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}

fn object(op: &Operation) -> Object {
    let (phase, result) = match &op.phase {
        Phase::Requested => ("requested", None),
        Phase::Held { .. } => ("held", None),
        Phase::Active => ("active", None),
        Phase::Ended(end) => ("ended", Some(word(&end.outcome))),
    };
    Object::from(Fence {
        operation: op.id.to_string(),
        target: Some(op.target.to_string()),
        action: Some(op.action.as_str().to_owned()),
        phase: Some(phase.to_owned()),
        result,
        source: Some(word(&op.origin.source)),
        who: Some(op.origin.who.clone()),
        reason: Some(op.origin.reason.clone()),
    })
}

/// The word that a record has for it; of one that says more, the first.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
