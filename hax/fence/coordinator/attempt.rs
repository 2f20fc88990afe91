//! One attempt, by its delegate: delay, locks, **start**, the run, **finish**.

use std::collections::BTreeSet;
use std::time::Duration;

use consul_client::{Error, Index};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::context::{Context, Failed, now, unchanged, write};
use super::delay;
use super::end::NodeNow;
use super::locks::Locks;
use super::session::Lease;
use super::slots::Slots;
use crate::config::fence::DeviceKind;
use crate::fence::executor::{BootInstant, Run};
use crate::fence::model::{
    AttemptState, Ended, OpId, Operation, PeerRecord, RunResult, Step, Target, keys,
};
use crate::fence::protocol::{self, START_WINDOW};

/// Between two tries for a lock, and after a failure.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// How long **finish** is tried. The driver does not wait that long for a run that is over.
const FINISH_MAX: Duration = Duration::from_secs(60);

/// The same while the daemon stops.
const FINISH_STOPPING: Duration = Duration::from_secs(3);

/// What the target has published of its watchdog, for an attempt that waits for it.
#[derive(Clone, Copy)]
enum Armed {
    /// No step waits for it.
    NotNeeded,
    /// It is not armed, or acts too late.
    No,
    /// It is armed, by the record with this index.
    Yes(Index),
}

/// An attempt in hand.
pub(super) struct Job {
    context: Context,
    slots: Slots,
    id: OpId,
    target: Target,
    attempt: usize,
    steps: Vec<Step>,
    delay: Duration,
    lease: Lease,
    stop: CancellationToken,
    /// Cancelled with the session, and when the daemon stops.
    cancel: CancellationToken,
}

impl Job {
    pub(super) fn new(
        context: Context,
        slots: Slots,
        op: &Operation,
        attempt: usize,
        lease: Lease,
        stop: CancellationToken,
    ) -> Self {
        let own = op.attempts.get(attempt);
        let steps = own.map(|own| op.steps_of(own).cloned().collect());
        Self {
            context,
            slots,
            id: op.id.clone(),
            target: op.target.clone(),
            attempt,
            steps: steps.unwrap_or_default(),
            delay: delay::pick(op, attempt),
            cancel: lease.lost.child_token(),
            lease,
            stop,
        }
    }

    /// Does the attempt, as far as it comes.
    pub(super) async fn run(self) {
        let forward = async {
            self.stop.cancelled().await;
            self.cancel.cancel();
        };
        tokio::pin!(forward);
        let work = self.work();
        tokio::pin!(work);
        // The daemon's stop ends the run, not the job: what the run came to is still written.
        tokio::select! {
            () = &mut work => return,
            () = &mut forward => {}
        }
        work.await;
    }

    async fn work(&self) {
        self.pause(self.delay).await;
        let devices: BTreeSet<_> = self.steps.iter().map(|step| step.device.clone()).collect();
        let mut locks = Locks::new(&self.lease, &self.id, &self.target, devices);
        if self.lock(&mut locks).await
            && let Some(start_by) = self.start(&locks).await
        {
            let runs = self.act(start_by).await;
            self.finish(&locks, runs).await;
        }
        locks.release(&self.context).await;
    }

    async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = tokio::time::sleep(duration) => {}
        }
    }

    /// Whether the view still has the attempt as this node's to start.
    fn is_wanted(&self) -> bool {
        let view = self.context.view();
        let op = view.ops.get(&self.id);
        let delegated = op.and_then(|op| protocol::delegated_to(&op.value, &self.context.me));
        !self.cancel.is_cancelled() && delegated == Some(self.attempt)
    }

    /// Takes the locks; false if the attempt was lost meanwhile.
    async fn lock(&self, locks: &mut Locks) -> bool {
        while self.is_wanted() {
            match locks.take(&self.context, &self.slots).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => warn!(op = %self.id, %error, "no lock for an attempt yet"),
            }
            self.pause(TRY_AGAIN).await;
        }
        false
    }

    /// Commits **start**. Until which instant agents may be spawned; none: nothing is to be done.
    ///
    /// A transaction whose answer was lost may still be committed: the record tells, and a repetition
    /// cannot be committed beside it. But a start that was not seen in time spawns nothing.
    async fn start(&self, locks: &Locks) -> Option<BootInstant> {
        let session = self.lease.id.as_str();
        let mut unclear = false;
        while !self.cancel.is_cancelled() && (unclear || self.is_wanted()) {
            let read = async {
                let op = self.context.operation(&self.id).await?;
                Ok((op, self.context.node(self.target.node()).await?))
            };
            let (op, node) = match read.await {
                Ok((Some(op), node)) => (op, node),
                Ok((None, _)) => return None,
                // The driver does not see it any more either. Nothing was spawned.
                Err(error @ Error::Decode { .. }) => {
                    warn!(op = %self.id, %error, "an attempt is let go");
                    return None;
                }
                Err(error) => {
                    warn!(op = %self.id, %error, "an attempt cannot start yet");
                    self.pause(TRY_AGAIN).await;
                    continue;
                }
            };
            match op.value.attempts.get(self.attempt).map(|own| &own.state) {
                Some(AttemptState::Delegated) => {}
                Some(AttemptState::Running { session: by, .. }) if by == session => {
                    let why = "its start was committed, but not seen in time: nothing was spawned";
                    let runs = self.all(RunResult::Refused, why);
                    self.finish(locks, runs).await;
                    return None;
                }
                _ => return None,
            }
            let armed = match self.armed().await {
                Ok(armed) => armed,
                Err(error) => {
                    warn!(op = %self.id, %error, "an attempt cannot start yet");
                    self.pause(TRY_AGAIN).await;
                    continue;
                }
            };
            let epoch = op.value.plan.as_ref().map(|plan| plan.epoch);
            let checked = match node {
                _ if matches!(armed, Armed::No) => {
                    Err("the target has not published that its watchdog is armed")
                }
                NodeNow::Read(node) if Some(node.value.epoch) == epoch => Ok(node.index),
                NodeNow::Read(_) => Err("the node has been fenced since the plan was made"),
                NodeNow::Unreadable(_) => Err("the record of the node cannot be read"),
            };
            let index = match checked {
                Ok(index) => index,
                Err(why) => {
                    warn!(op = %self.id, ?epoch, why, "an attempt is not started");
                    let runs = self.all(RunResult::Refused, why);
                    let record = protocol::decline(&op.value, self.attempt, runs)?;
                    if let Err(error) = self.context.commit(&[write(&record, op.index)]).await {
                        debug!(op = %self.id, %error, "an attempt is left to its driver");
                    }
                    return None;
                }
            };
            let record = protocol::start(&op.value, self.attempt, session, now())?;
            let mut ops = locks.checks();
            let own = keys::peer(&self.context.me);
            ops.push(consul_client::TxnOp::check_session(
                own,
                self.lease.id.clone(),
            ));
            ops.push(unchanged(keys::node(self.target.node()), index));
            if let Armed::Yes(index) = armed {
                ops.push(unchanged(keys::peer(self.target.node()), index));
            }
            ops.push(write(&record, op.index));
            let start_by = BootInstant::now().after(START_WINDOW);
            let committed = tokio::time::timeout(START_WINDOW, self.context.commit(&ops)).await;
            match committed {
                Ok(Ok(())) if BootInstant::now() < start_by => return Some(start_by),
                Ok(Ok(())) | Err(_) => unclear = true,
                Ok(Err(Failed::Away(error))) => {
                    unclear = true;
                    warn!(op = %self.id, %error, "an attempt could not be started");
                    self.pause(TRY_AGAIN).await;
                }
                Ok(Err(Failed::Lost(aborted))) => {
                    info!(op = %self.id, %aborted, "an attempt could not be started");
                    self.pause(TRY_AGAIN).await;
                }
            }
        }
        None
    }

    /// Whether the target's watchdog acts within the time that a step waits for it. The target takes its
    /// word back before it gives the watchdog up: so its record is one of what **start** checks.
    async fn armed(&self) -> Result<Armed, consul_client::Error> {
        let device = |step: &Step| self.context.config.device(&step.device);
        let waits = self
            .steps
            .iter()
            .filter_map(|step| match &device(step)?.kind {
                DeviceKind::Watchdog(watchdog) => Some(watchdog.timeout),
                _ => None,
            });
        let Some(wait) = waits.min() else {
            return Ok(Armed::NotNeeded);
        };
        let key = keys::peer(self.target.node());
        let peer = self.context.record::<PeerRecord>(&key).await?;
        let bound = peer.value.watchdog_ms;
        Ok(
            match bound.is_some_and(|ms| u128::from(ms) <= wait.as_millis()) {
                true => Armed::Yes(peer.index),
                false => Armed::No,
            },
        )
    }

    /// Runs the agents of all steps at once.
    async fn act(&self, start_by: BootInstant) -> Vec<Ended> {
        let runs = self.steps.iter().map(|step| {
            info!(op = %self.id, target = %self.target, device = %step.device,
                  action = step.action.as_str(), attempt = self.attempt, "an agent is started");
            self.context.executor.run(Run {
                device: step.device.clone(),
                action: step.action,
                target: self.target.clone(),
                start_by,
                cancel: self.cancel.child_token(),
            })
        });
        let runs = join_all(runs).await;
        for (step, run) in self.steps.iter().zip(&runs) {
            info!(op = %self.id, target = %self.target, device = %step.device,
                  result = ?run.result, took_ms = run.took_ms, "an agent has ended");
        }
        runs
    }

    /// Commits **finish**. Without the lock nothing but `indeterminate` is written: another delegate
    /// may have been at work.
    async fn finish(&self, locks: &Locks, mut runs: Vec<Ended>) {
        let session = self.lease.id.as_str();
        let begin = tokio::time::Instant::now();
        let mut locked = true;
        loop {
            if locked && self.lease.lost.is_cancelled() {
                locked = false;
            }
            if !locked {
                for run in &mut runs {
                    run.result = RunResult::Indeterminate;
                }
            }
            match self.try_finish(locks, &runs, session, locked).await {
                Ok(()) => return,
                Err(Failed::Lost(aborted)) if locked && aborted.failed(0) => locked = false,
                Err(error) => {
                    let patience = if self.stop.is_cancelled() {
                        FINISH_STOPPING
                    } else {
                        FINISH_MAX
                    };
                    if begin.elapsed() > patience {
                        warn!(op = %self.id, %error, "the end of an attempt could not be written");
                        return;
                    }
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    async fn try_finish(
        &self,
        locks: &Locks,
        runs: &[Ended],
        session: &str,
        locked: bool,
    ) -> Result<(), Failed> {
        let read = self.context.operation(&self.id).await;
        let Some(op) = read.map_err(Failed::Away)? else {
            return Ok(());
        };
        // None: it has been written already, by a transaction whose answer was lost, or by the driver.
        let Some(record) = protocol::finish(&op.value, self.attempt, session, runs.to_vec()) else {
            return Ok(());
        };
        let mut ops = Vec::new();
        if locked {
            ops.push(locks.target_check());
        }
        ops.push(write(&record, op.index));
        self.context.commit(&ops).await
    }

    fn all(&self, result: RunResult, evidence: &str) -> Vec<Ended> {
        let ended = |_| Ended {
            result,
            evidence: evidence.to_owned(),
            took_ms: 0,
        };
        self.steps.iter().map(ended).collect()
    }
}
