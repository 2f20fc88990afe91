//! What is done with requests whose turn has come (`rfc/5-hax.md`, `rfc/7-ordering.md`).

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use halink::{EntrypointRequest, Fid};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::answers::Unknown;
use super::counters::Counters;
use super::dead_letters::DeadLetters;
use super::entrypoint::{EntrypointError, Facts};
use super::job::{Job, Task};
use super::links::Links;
use super::record::Record;
use super::replies::Replies;
use super::retry::RetryPolicy;
use super::store::Store;
use super::verdicts::SharedVerdicts;
use crate::death::Deaths;
use crate::dispatch::{Asked, Handler, ToldAgain};

/// The handler of requests.
#[derive(Debug)]
pub struct Work<S, R: Replies> {
    /// Consul.
    pub store: S,
    /// Motr.
    pub replies: R,
    /// This node's name in Consul.
    pub node: String,
    /// Live links.
    pub links: Arc<Links>,
    /// Who is dead, whatever Consul says.
    pub deaths: Arc<Deaths>,
    /// What fences say.
    pub verdicts: SharedVerdicts,
    /// Counters.
    pub counters: Arc<Counters>,
    /// Pauses between attempts.
    pub retry: RetryPolicy,
    /// Where statuses are written.
    pub record: Record,
    /// Messages that Consul refuses for good.
    pub letters: Arc<DeadLetters<R::Ack>>,
    /// Unknown objects that have been logged.
    pub unknown: Unknown,
}

impl<S: Store, R: Replies> Handler for Work<S, R> {
    type Message = Job<R::Ack>;

    async fn entrypoints(&self, run: Vec<Asked>) -> Vec<ToldAgain> {
        let mut run = VecDeque::from(run);
        let mut told = Vec::new();
        let mut read = pin!(self.store.facts());
        // The read goes on for the others when the first of them has waited up to its bound.
        let facts = loop {
            let Some(first) = run.front() else {
                return told;
            };
            if let Ok(facts) = timeout_at(first.deadline, &mut read).await {
                break facts;
            }
            if let Some(Asked { request, .. }) = run.pop_front() {
                info!(process = %request.process,
                    "no entrypoint yet: Consul did not answer within the bound");
                self.retire_older(&request).await;
                told.push(self.say_again(request).await);
            }
        };
        for asked in run {
            // One by one: the answer before may have made a link for an older incarnation of the
            // same process.
            self.retire_older(&asked.request).await;
            told.extend(self.answer_entrypoint(asked, &facts).await);
        }
        told
    }

    async fn again(&self, request: EntrypointRequest) {
        self.retire_older(&request).await;
        self.say_again(request).await;
    }

    async fn messages(&self, run: Vec<Job<R::Ack>>) {
        match run.first().map(|job| &job.task) {
            Some(Task::Get(_)) => self.gets(run).await,
            Some(Task::Status { .. } | Task::Isolate(_)) => self.statuses(run).await,
            None => {}
        }
    }

    async fn superseded(&self, job: Job<R::Ack>) {
        debug!(what = %job, "superseded by a later status: acknowledged, and not written");
        self.counters.folded.increment();
        self.replies.delivered(job.ack).await;
    }
}

impl<S: Store, R: Replies> Work<S, R> {
    /// Drops the link of an older incarnation: it is dead, for a fid has one process at a time.
    /// It goes before any answer, EAGAIN included, while the new link does not exist yet: the
    /// library drops all links of a fid.
    async fn retire_older(&self, request: &EntrypointRequest) {
        if request.first {
            self.replies
                .retire(request.process, "a new incarnation asks for its entrypoint")
                .await;
        }
    }

    /// Answers with the entrypoint, or with EAGAIN if there is none.
    async fn answer_entrypoint(
        &self,
        Asked {
            request, arrived, ..
        }: Asked,
        facts: &Result<Facts, EntrypointError>,
    ) -> Option<ToldAgain> {
        let process = request.process;
        // The bridge's own process takes no part in what is fenced, and without it the bridge could not
        // even say that the others have to wait.
        if process != self.links.own_process()
            && let Some(why) = self.verdicts.now().closed()
        {
            info!(%process, why, "no entrypoint yet");
            return Some(self.say_again(request).await);
        }
        let built = match facts {
            Ok(facts) => facts.reply(process, self.links.own_process(), &self.node),
            Err(error) => {
                info!(%process, %error, "no entrypoint yet");
                return Some(self.say_again(request).await);
            }
        };
        let reply = match built {
            Ok(reply) => reply,
            Err(error) => {
                info!(%process, %error, "no entrypoint yet");
                return Some(self.say_again(request).await);
            }
        };
        match self.replies.entrypoint(request.req_id, &reply).await {
            Ok(()) => {
                self.counters.entrypoint_replies.increment();
                let replied = &self.counters.latencies.entrypoint_replied;
                replied.record_since(arrived.into_std());
            }
            Err(error) => warn!(%process, %error, "the entrypoint reply was not sent"),
        }
        None
    }

    async fn say_again(&self, request: EntrypointRequest) -> ToldAgain {
        let process: Fid = request.process;
        self.counters.entrypoint_again.increment();
        if let Err(error) = self.replies.again(request.req_id).await {
            // The interface answers its own open request itself when it is stopped.
            debug!(%process, %error, "EAGAIN was not sent");
        }
        ToldAgain {
            process,
            at: Instant::now(),
        }
    }
}
