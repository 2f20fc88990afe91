//! What is done with a request whose turn has come (`rfc/5-hax.md`, `rfc/7-ordering.md`).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use consul_client::Client;
use halink::{
    Ack, EntrypointRequest, Fid, HaState, LinkId, Note, NvecGet, ProcessEvent, ProcessStatus,
    ProcessType,
};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::counters::Counters;
use super::entrypoint;
use super::job::{Job, Task};
use super::links::Links;
use super::outbox::Outbox;
use super::record::Record;
use crate::cluster::{StoredStatus, View, process::key};
use crate::dispatch::{Answer, Handler};

/// Fids of which it has been said that they are unknown; more are not remembered, and then not
/// said either.
const UNKNOWN_MAX: usize = 4_096;

/// How Consul is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// First pause.
    pub min: Duration,
    /// Longest pause.
    pub max: Duration,
}

/// The handler of requests.
#[derive(Debug)]
pub struct Work {
    /// Consul.
    pub consul: Client,
    /// This node's name in Consul.
    pub node: String,
    /// Replies.
    pub outbox: Outbox,
    /// Live links.
    pub links: Arc<Links>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// The view of the cluster.
    pub view: View,
    /// Pauses between attempts.
    pub retry: RetryPolicy,
    /// Where statuses are written.
    pub record: Record,
    /// Unknown objects that have been logged.
    pub unknown: Mutex<HashSet<Fid>>,
}

impl Handler for Work {
    type Message = Job;

    async fn entrypoint(&self, request: EntrypointRequest, deadline: Instant) -> Answer {
        let process = request.process;
        self.retire_older(&request).await;
        let build = entrypoint::build(&self.consul, process, self.links.own_process(), &self.node);
        let reply = match tokio::time::timeout_at(deadline, build).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                info!(%process, %error, "no entrypoint yet");
                self.say_again(request).await;
                return Answer::Again;
            }
            Err(_) => {
                info!(%process, "no entrypoint yet: Consul did not answer within the bound");
                self.say_again(request).await;
                return Answer::Again;
            }
        };
        match self
            .outbox
            .handle()
            .entrypoint_reply(request.req_id, &reply)
            .await
        {
            Ok(()) => self.counters.entrypoint_replies.increment(),
            Err(error) => warn!(%process, %error, "the entrypoint reply was not sent"),
        }
        Answer::Reply
    }

    async fn again(&self, request: EntrypointRequest) {
        self.retire_older(&request).await;
        self.say_again(request).await;
    }

    async fn message(&self, Job { link, task, ack }: Job) {
        match task {
            Task::Status { process, status } => {
                self.process_event(link, process, status, ack).await;
            }
            Task::Get(get) => {
                let notes = self.answer(&get).await;
                self.outbox.answer_nvec(link, get.id, notes).await;
                self.counters.nvec_gets.increment();
                ack.delivered().await;
            }
            Task::Isolate(process) => self.isolate(link, process, ack).await,
        }
    }
}

impl Work {
    /// Drops the link of an older incarnation: it is dead, for a fid has one process at a time.
    /// It goes before any answer, EAGAIN included, while the new link does not exist yet: the
    /// library drops all links of a fid.
    async fn retire_older(&self, request: &EntrypointRequest) {
        if request.first {
            self.outbox
                .retire(request.process, "a new incarnation asks for its entrypoint")
                .await;
        }
    }

    async fn say_again(&self, request: EntrypointRequest) {
        self.counters.entrypoint_again.increment();
        if let Err(error) = self.outbox.handle().entrypoint_again(request.req_id).await {
            // The interface answers its own open request itself when it is stopped.
            debug!(process = %request.process, %error, "EAGAIN was not sent");
        }
    }

    async fn process_event(&self, link: LinkId, process: Fid, status: ProcessStatus, ack: Ack) {
        let stored = StoredStatus {
            state: status.event,
            kind: status.kind,
        };
        let Some(index) = self.write(process, stored).await else {
            return;
        };
        let up_since = stored.is_up().then_some(index);
        self.links.set_up(link, process, up_since);
        ack.delivered().await;
        info!(%process, state = %status.event, kind = %status.kind, pid = status.pid,
            "process status is in KV");
        // Nothing else would ever drop the link of a process that has stopped.
        if status.event == ProcessEvent::Stopped {
            self.retire_stopped(link, process).await;
        }
    }

    /// Retires a process that has stopped, in time, by the same rule as [`Self::retire_owner`].
    async fn retire_stopped(&self, link: LinkId, process: Fid) {
        if self.links.process_of(link) == Some(process) {
            self.outbox.retire_stopped(link, process).await;
        }
    }

    /// Retires a process if this link of its is still there: else what is there belongs to its
    /// next incarnation.
    async fn retire_owner(&self, link: LinkId, process: Fid, why: &str) {
        if self.links.process_of(link) == Some(process) {
            self.outbox.retire(process, why).await;
        }
    }

    /// Writes a status until Consul has it. Returns the Raft index of the change; `None`: Consul
    /// never will have it.
    async fn write(&self, process: Fid, status: StoredStatus) -> Option<u64> {
        let what = format!("writing {}", key(process));
        let written = self
            .retry(&what, || self.record.write(process, status))
            .await;
        match written {
            Ok(index) => {
                self.counters.process_events.increment();
                Some(index.0)
            }
            Err(error) => {
                error!(%process, status = ?status, %error,
                    "the status cannot be written; the process sends it again when the bridge \
                     is restarted");
                self.counters.final_errors.increment();
                None
            }
        }
    }

    async fn answer(&self, get: &NvecGet) -> Vec<Note> {
        let read = || self.view.fresh();
        let snapshot = match self.retry("reading the state of the cluster", read).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                error!(%error, "an NVEC GET is answered from the last known view");
                self.counters.final_errors.increment();
                self.view.last()
            }
        };
        let own = self.links.own_process();
        let mut unknown = Vec::new();
        let mut note = |object: Fid| {
            let state = match snapshot.state_of(object) {
                // This code runs, so the bridge is alive, whatever its check said last.
                _ if object == own => HaState::Online,
                Some(state) => state,
                None => {
                    unknown.push(object);
                    HaState::Online
                }
            };
            Note { object, state }
        };
        let notes = get.objects.iter().map(|object| note(*object)).collect();
        self.log_unknown(unknown);
        notes
    }

    /// Says once of each object that nothing is known of it.
    fn log_unknown(&self, mut objects: Vec<Fid>) {
        {
            let mut said = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// The rest of what the router began (`rfc/5-hax.md`, A1): the others know already.
    async fn isolate(&self, link: LinkId, process: Fid, ack: Ack) {
        let kind = self.kind_of(process);
        let status = StoredStatus {
            state: ProcessEvent::Stopped,
            kind,
        };
        if self.write(process, status).await.is_some() {
            ack.delivered().await;
        }
        self.retire_owner(link, process, "it sent a fatal message")
            .await;
    }

    /// What kind of process KV has on record, M0D if none.
    fn kind_of(&self, process: Fid) -> ProcessType {
        self.view
            .last()
            .processes
            .get(process)
            .map_or(ProcessType::M0d, |status| status.kind)
    }

    /// Runs `call` until it succeeds or fails for good.
    async fn retry<T, F: Future<Output = Result<T, consul_client::Error>>>(
        &self,
        what: &str,
        mut call: impl FnMut() -> F,
    ) -> Result<T, consul_client::Error> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(self.retry.min)
            .with_max_delay(self.retry.max)
            .without_max_times()
            .with_jitter()
            .build();
        let mut attempts = 1_u64;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => error,
            };
            let pause = pauses.next().unwrap_or(self.retry.max);
            warn!(what, %error, attempts, ?pause, "Consul failed; trying again");
            self.counters.retries.increment();
            attempts += 1;
            tokio::time::sleep(pause).await;
        }
    }
}
