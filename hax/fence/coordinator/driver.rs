//! The driver: takes the decisions of the operations that are this node's (`rfc/13-fencing-protocol.md`, "An
//! operation"). Every decision is one transaction with a check-and-set of the operation, so it does no
//! harm if two nodes think that it is theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use consul_client::{Index, SessionId, TxnOp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::activate::{self, Activation};
use super::context::{Context, Failed, now, write};
use super::end::{self, NodeNow};
use super::seen::Seen;
use crate::fence::executor::BootInstant;
use crate::fence::gate::{self, Verdict};
use crate::fence::model::{End, OpId, Operation, Outcome, Phase, keys};
use crate::fence::protocol::{self, Decision, World};
use crate::fence::{FenceView, Stored};

/// Between two looks while an operation is open.
const TICK: Duration = Duration::from_millis(500);

/// Pauses after a decision that could not be written: the first, and the longest.
const RETRY_MIN: Duration = Duration::from_millis(40);
const RETRY_MAX: Duration = Duration::from_secs(3);

/// How long a decision that was written may take to appear in the view.
const SETTLE: Duration = Duration::from_secs(5);

/// Takes decisions.
pub(super) struct Driver {
    context: Context,
    seen: Seen,
    tried: BTreeMap<OpId, Tried>,
}

/// The last decision about an operation.
#[derive(Debug, Clone, Copy)]
struct Tried {
    /// The record it was about.
    index: Index,
    /// Until the record changes, no other decision is tried before.
    again: Instant,
    /// Tries in vain.
    failures: u32,
}

impl Driver {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            seen: Seen::default(),
            tried: BTreeMap::new(),
        }
    }

    /// Drives until `cancel` is cancelled, and not further than the transaction that is under way.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut views = self.context.views.clone();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let open = self.pass(&view, &cancel).await;
            let again = self.tried.values().map(|tried| tried.again).min();
            let tick = Instant::now() + TICK;
            let next = again.map_or(tick, |again| again.min(tick));
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = views.changed() => {}
                () = tokio::time::sleep_until(next.max(Instant::now() + RETRY_MIN)), if open => {}
            }
        }
    }

    /// Decides about every operation; whether any has not ended.
    async fn pass(&mut self, view: &FenceView, cancel: &CancellationToken) -> bool {
        let seen = BootInstant::now();
        self.seen.look(&self.context.config, view, seen);
        self.tried.retain(|id, _| view.ops.contains_key(id));
        let mut open = !self.seen.is_empty();
        for (id, op) in &view.ops {
            if op.value.ended().is_some() {
                self.tried.remove(id);
                continue;
            }
            open = true;
            let tried = self.tried.get(id).filter(|tried| tried.index == op.index);
            if cancel.is_cancelled() || tried.is_some_and(|tried| tried.again > Instant::now()) {
                continue;
            }
            let failures = tried.map_or(0, |tried| tried.failures);
            let done = match self.decide(view, op).await {
                None => continue,
                Some(done) => done,
            };
            let pause = match &done {
                Ok(()) => SETTLE,
                Err(_) => RETRY_MAX.min(RETRY_MIN.saturating_mul(1 << failures.min(10))),
            };
            match &done {
                Ok(()) => {}
                Err(Failed::Lost(aborted)) => {
                    debug!(op = %id, %aborted, "somebody has decided otherwise");
                }
                Err(Failed::Away(error)) => {
                    warn!(op = %id, %error, "a decision of fencing could not be written");
                }
            }
            let tried = Tried {
                index: op.index,
                again: Instant::now() + pause,
                failures: if done.is_ok() { 0 } else { failures + 1 },
            };
            self.tried.insert(id.clone(), tried);
        }
        open
    }

    /// Decides about one operation; none: it is not this node's turn, or there is nothing to do.
    async fn decide(&self, view: &FenceView, op: &Stored<Operation>) -> Option<Result<(), Failed>> {
        let config = &self.context.config;
        let passed = self.seen.passed(config, &op.value, BootInstant::now());
        let world = World {
            me: &self.context.me,
            peers: &view.peers,
            now: now(),
            waited: passed.waited,
            accept_over: passed.accept_over,
            overdue: passed.overdue,
        };
        if !protocol::is_driver(&op.value, &world) {
            return None;
        }
        match &op.value.phase {
            Phase::Ended(_) => None,
            Phase::Requested | Phase::Held { .. } => self.admit(view, op).await,
            Phase::Active => match asked(&op.value, protocol::decide(&op.value, &world)) {
                Decision::Wait => None,
                Decision::Write(next) => Some(self.write(&next, op.index).await),
                Decision::End(next) => Some(self.end(view, next, op.index).await),
                Decision::DestroySession(session) => Some(self.destroy(op, &session).await),
            },
        }
    }

    /// Asks the gates, and acts on what they say.
    async fn admit(&self, view: &FenceView, op: &Stored<Operation>) -> Option<Result<(), Failed>> {
        let nodes = self.context.nodes();
        let at = now();
        match gate::admit(&self.context.config, view, &op.value, nodes.len(), at) {
            Verdict::Pass => {}
            Verdict::Hold(reason) => {
                if matches!(op.value.phase, Phase::Held { .. }) {
                    return None;
                }
                warn!(op = %op.value.id, target = %op.value.target, reason, "an operation is held");
                let mut next = op.value.clone();
                next.phase = Phase::Held { reason, since: at };
                return Some(self.write(&next, op.index).await);
            }
            Verdict::Refuse(refusal, detail) => {
                let outcome = Outcome::Refused(refusal);
                return Some(self.never_begun(view, op, outcome, detail).await);
            }
            Verdict::Expire => {
                let detail = "it could not be begun in time".to_owned();
                return Some(self.never_begun(view, op, Outcome::Expired, detail).await);
            }
        }
        Some(
            match activate::prepare(&self.context, view, &op.value).await {
                Err(error) => Err(Failed::Away(error)),
                Ok(Activation::Refused(refused)) => {
                    let outcome = Outcome::Refused(refused.refusal);
                    self.never_begun(view, op, outcome, refused.detail).await
                }
                Ok(Activation::Ready { next, mut checks }) => {
                    checks.push(write(&next, op.index));
                    let done = self.context.commit(&checks).await;
                    if done.is_ok() {
                        info!(op = %next.id, target = %next.target, action = next.action.as_str(),
                          "an operation has become active");
                    }
                    done
                }
            },
        )
    }

    async fn never_begun(
        &self,
        view: &FenceView,
        op: &Stored<Operation>,
        outcome: Outcome,
        detail: String,
    ) -> Result<(), Failed> {
        let mut next = op.value.clone();
        next.phase = Phase::Ended(End {
            outcome,
            detail,
            at: now(),
        });
        self.end(view, next, op.index).await
    }

    async fn write(&self, next: &Operation, index: Index) -> Result<(), Failed> {
        self.context.commit(&[write(next, index)]).await
    }

    async fn end(&self, view: &FenceView, next: Operation, index: Index) -> Result<(), Failed> {
        let node = next.target.node();
        let known = if view.malformed.contains_key(&keys::node(node)) {
            self.context.node(node).await.map_err(Failed::Away)?
        } else {
            NodeNow::Read(view.nodes.get(node).cloned().unwrap_or_default())
        };
        let mut ops = vec![TxnOp::delete(keys::active(&next.target))];
        ops.extend(end::success(&known, &next));
        ops.push(write(&next, index));
        self.context.commit(&ops).await?;
        if let Some(end) = next.ended() {
            info!(op = %next.id, target = %next.target, action = next.action.as_str(),
                  outcome = ?end.outcome, detail = end.detail, "an operation has ended");
        }
        Ok(())
    }

    /// Ends the session of a delegate that hangs; Consul's lock delay follows.
    async fn destroy(&self, op: &Stored<Operation>, session: &str) -> Result<(), Failed> {
        warn!(op = %op.value.id, session, "a run is overdue: its delegate's session is destroyed");
        let session: SessionId = session.parse().map_err(Failed::Away)?;
        let destroyed = self.context.consul.session().destroy(&session).await;
        destroyed.map_err(Failed::Away)
    }
}

/// An operator's word counts before everything but the operation's own end, and never while a run is
/// under way.
fn asked(op: &Operation, decision: Decision) -> Decision {
    match (&op.options.ending, decision) {
        (Some(end), Decision::Wait | Decision::Write(_)) if protocol::may_end(op) => {
            Decision::End(end::as_asked(op, end.clone()))
        }
        (_, decision) => decision,
    }
}
