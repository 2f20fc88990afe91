//! Answers to NVEC GETs: runs of them share one view (`rfc/5-hax.md`, "NVEC GET").

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use halink::{Fid, HaState, Note, NvecGet};
use tracing::{error, info};

use super::job::{Job, Task};
use super::replies::Replies;
use super::states::States;
use super::store::Store;
use super::work::Work;

/// Fids of which it has been said that they are unknown; more are not remembered, and then not
/// said either.
const UNKNOWN_MAX: usize = 4_096;

/// Objects that were asked for and that nothing is known of.
#[derive(Debug, Default)]
pub struct Unknown(Mutex<HashSet<Fid>>);

impl Unknown {
    /// Says once of each object that nothing is known of it.
    fn log(&self, mut objects: Vec<Fid>) {
        {
            let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            objects.retain(|object| said.len() < UNKNOWN_MAX && said.insert(*object));
        }
        if !objects.is_empty() {
            let named: Vec<String> = objects.iter().map(ToString::to_string).collect();
            info!(
                number = objects.len(),
                objects = named.join(" "),
                "nothing is known of these objects; they are told ONLINE"
            );
        }
    }
}

impl<S: Store, R: Replies> Work<S, R> {
    /// Answers the GETs of a run in their order, from one view that is no older than the last of
    /// them.
    pub(super) async fn gets(&self, run: Vec<Job<R::Ack>>) {
        let read = || self.store.fresh();
        let what = "reading the state of the cluster";
        let states = match self.retry.run(what, &self.counters.retries, read).await {
            Ok(states) => states,
            Err(error) => {
                error!(%error, count = run.len(), "NVEC GETs are answered from the last known view");
                self.counters.final_errors.increment();
                self.counters.nvec_gets_stale.add(run.len() as u64);
                self.store.last_known()
            }
        };
        for job in run {
            self.answer(job, &states).await;
        }
    }

    async fn answer(&self, job: Job<R::Ack>, states: &States) {
        let Task::Get(get) = &job.task else { return };
        let notes = self.notes(get, states);
        self.replies.nvec(job.link, get.id, notes).await;
        self.counters.nvec_gets.increment();
        self.counters
            .latencies
            .nvec_answered
            .record_since(job.arrived);
        self.replies.delivered(job.ack).await;
    }

    fn notes(&self, get: &NvecGet, states: &States) -> Vec<Note> {
        let own = self.links.own_process();
        let view = states.snapshot();
        let dead = self.deaths.objects(&view.tree);
        let verdicts = self.verdicts.now();
        let mut unknown = Vec::new();
        let mut note = |object: Fid| {
            let state = match states.state_of(object) {
                // This code runs, so the bridge is alive, whatever its check said last.
                _ if object == own => HaState::Online,
                _ if dead.contains(&object) => HaState::Failed,
                Some(state) => verdicts.state(object, state, view, own),
                None => {
                    unknown.push(object);
                    verdicts.state(object, HaState::Online, view, own)
                }
            };
            Note { object, state }
        };
        let notes = get.objects.iter().map(|object| note(*object)).collect();
        self.unknown.log(unknown);
        notes
    }
}
