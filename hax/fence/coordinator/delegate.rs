//! The delegate: takes the attempts that are delegated to this node (`rfc/13-fencing-protocol.md`, "The run").

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::attempt::Job;
use super::context::Context;
use super::slots::Slots;
use crate::fence::model::{OpId, Target};
use crate::fence::protocol;

/// Attempts that this node has in hand at one time.
const JOBS_MAX: usize = 64;

/// For how long an attempt that was let go is not taken up again, though the view still has it as
/// delegated: it may be an older one.
const REST: Duration = Duration::from_secs(1);

/// Takes attempts.
pub(super) struct Delegate {
    context: Context,
    slots: Slots,
    jobs: JoinSet<()>,
    /// One attempt per target: the next must not find locks that the last one is about to give up.
    in_hand: HashMap<Id, (Target, OpId, usize)>,
    resting: BTreeMap<(OpId, usize), Instant>,
}

impl Delegate {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            slots: Slots::default(),
            jobs: JoinSet::new(),
            in_hand: HashMap::new(),
            resting: BTreeMap::new(),
        }
    }

    /// Takes attempts until `stop` is cancelled; then ends their agents, and gives the locks up.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut views = self.context.views.clone();
        let mut leases = self.context.leases.clone();
        loop {
            self.take(&stop);
            let rested = self.resting.values().min().copied();
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = views.changed() => {}
                Ok(()) = leases.changed() => {}
                Some(done) = self.jobs.join_next_with_id() => self.done(done),
                () = tokio::time::sleep_until(rested.unwrap_or_else(Instant::now)), if rested.is_some() => {}
            }
        }
        while let Some(done) = self.jobs.join_next_with_id().await {
            self.done(done);
        }
    }

    /// Takes up what is delegated to this node.
    fn take(&mut self, stop: &CancellationToken) {
        let Some(lease) = self.context.lease() else {
            return;
        };
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let view = self.context.view();
        let busy: BTreeSet<_> = self.in_hand.values().map(|job| job.0.clone()).collect();
        for op in view.ops.values().map(|op| &op.value) {
            if self.jobs.len() >= JOBS_MAX {
                return;
            }
            let Some(attempt) = protocol::delegated_to(op, &self.context.me) else {
                continue;
            };
            let key = (op.id.clone(), attempt);
            if busy.contains(&op.target) || self.resting.contains_key(&key) {
                continue;
            }
            let (context, slots) = (self.context.clone(), self.slots.clone());
            let job = Job::new(context, slots, op, attempt, lease.clone(), stop.clone());
            let task = self.jobs.spawn(job.run());
            self.in_hand
                .insert(task.id(), (op.target.clone(), op.id.clone(), attempt));
        }
    }

    fn done(&mut self, done: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match &done {
            Ok((id, ())) => *id,
            Err(error) => {
                warn!(%error, "an attempt did not end in order");
                error.id()
            }
        };
        if let Some((_, op, attempt)) = self.in_hand.remove(&id) {
            self.resting.insert((op, attempt), Instant::now() + REST);
        }
    }
}
