//! Where every event of the interface goes: what needs Consul to the dispatcher, what is to be
//! broadcast to the lane, the rest is done at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use halink::{
    Ack, Event, Events, FailureVec, FailureVecRep, FailureVecReq, Fid, FidType, HaState, Link,
    LinkId, Message, Note, ProcessStatus, Received,
};
use tracing::{debug, error, info, warn};

use super::alarm::QueueAlarm;
use super::counters::Counters;
use super::fallen::Fallen;
use super::job::{Job, Task};
use super::lane::Lane;
use super::links::Links;
use super::outbox::Outbox;
use super::reports::SharedReports;
use super::verdicts::SharedVerdicts;
use crate::config::FatalMessage;
use crate::death::DeathWatch;
use crate::dispatch::{Dispatcher, Request};

/// The task that receives the events.
#[derive(Debug)]
pub struct Router {
    /// Live links.
    pub links: Arc<Links>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// The alarm at `dispatch.queue_max`.
    pub alarm: Arc<QueueAlarm>,
    /// Replies that need no Consul.
    pub outbox: Outbox,
    /// Requests.
    pub dispatcher: Dispatcher<Job>,
    /// Broadcasts.
    pub lane: Lane,
    /// Deaths of local processes.
    pub death: DeathWatch<Fallen>,
    /// What fences say; who is isolated is noted here.
    pub verdicts: SharedVerdicts,
    /// What processes say of others is noted here.
    pub reports: SharedReports,
    /// `ha.on_fatal_message`.
    pub on_fatal_message: FatalMessage,
    /// Messages handed to the dispatcher so far.
    pub arrivals: AtomicU64,
}

impl Router {
    /// Routes until the interface has stopped.
    pub async fn run(self, mut events: Events) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Entrypoint(request) => {
                    self.links.asked(&request);
                    if request.first {
                        self.death.reborn(request.process);
                        self.verdicts.reborn(request.process);
                    }
                    self.dispatcher.push(Request::Entrypoint(request)).await;
                }
                Event::Message(received) => self.message(received).await,
                Event::LinkConnected(link) => {
                    info!(link = %link.id, process = %link.process, endpoint = link.endpoint,
                        "link connected");
                    if let Some(pid) = self.links.add(&link)
                        && link.process != self.links.own_process()
                    {
                        self.resumed(&link, pid);
                    }
                }
                Event::LinkReused(link) => {
                    debug!(link = %link.id, process = %link.process, "link reused");
                    self.links.answered(link.req_id);
                }
                Event::LinkAbsent { req_id } => {
                    self.links.answered(req_id);
                    warn!(%req_id, "the process that asked has no link any more: it was dropped, \
                        or the process has gone");
                }
                Event::LinkDisconnecting(link) => {
                    self.death.gone(link);
                    self.reports.gone(link);
                    let process = self.links.remove(link).map(|process| process.to_string());
                    info!(%link, process, "link is disconnecting");
                }
                Event::LinkDisconnected(link) => info!(%link, "link disconnected"),
            }
        }
    }

    /// A process is back that had a link to an earlier run of the bridge.
    fn resumed(&self, link: &Link, pid: u64) {
        self.death
            .resumed(link.id, link.process, pid, &link.endpoint);
        if let Err(error) = self.lane.resumed(link.id) {
            warn!(link = %link.id, %error, "a process is not told what it has missed");
            self.counters.broadcasts_refused.increment();
        }
    }

    async fn message(&self, received: Received) {
        self.links.count_received(received.link);
        let held = self.outbox.handle().stats().messages;
        self.alarm.observe(held, &self.counters);
        let kind = received.message.kind();
        let Received {
            link,
            tag,
            fid,
            message,
            ack,
            ..
        } = received;
        let ignored = match message {
            Message::Process(status) => return self.process_event(link, fid, status, ack).await,
            Message::NvecGet(get) => return self.push(link, Task::Get(get), ack).await,
            Message::NvecSet(set) => return self.nvec_set(link, &set.notes, ack).await,
            Message::FailureVecReq(FailureVecReq { cookie, .. })
            | Message::FailureVecRep(FailureVecRep { cookie, .. }) => {
                return self.failure_vec(link, cookie, ack).await;
            }
            Message::KeepaliveReq(_)
            | Message::KeepaliveRep(_)
            | Message::BeIoErr(_)
            | Message::SnsErr(_) => return self.fatal(link, &message, ack).await,
            Message::StobIoq(_) => &self.counters.stob_ioq,
            Message::Service(_) => &self.counters.service_events,
            Message::Rpc(event) => {
                if let Some(state) = event.ha_state() {
                    self.report(link, fid, state);
                }
                &self.counters.rpc_events
            }
            Message::Malformed { reason, .. } => {
                error!(%link, %tag, %reason,
                    "a message that cannot be handled is acknowledged and dropped");
                &self.counters.malformed
            }
        };
        ignored.increment();
        debug!(%link, message = kind, "ignored");
        ack.delivered().await;
    }

    async fn push(&self, link: LinkId, task: Task, ack: Ack) {
        let job = Job {
            number: self.arrivals.fetch_add(1, Ordering::Relaxed),
            link,
            task,
            ack,
            arrived: Instant::now(),
            replayed: false,
        };
        self.dispatcher.push(Request::Message(job)).await;
    }

    async fn process_event(&self, link: LinkId, process: Fid, status: ProcessStatus, ack: Ack) {
        if process.fid_type() == Some(FidType::Process) {
            if process != self.links.own_process() && self.links.process_of(link) == Some(process) {
                let endpoint = || self.links.endpoint_of(link).unwrap_or_default();
                self.death.event(link, process, &status, endpoint);
            }
            return self.push(link, Task::Status { process, status }, ack).await;
        }
        error!(fid = %process, %link, event = %status.event,
            "a process event of a fid that is not a process is acknowledged and dropped");
        self.counters.malformed.increment();
        ack.delivered().await;
    }

    async fn nvec_set(&self, link: LinkId, notes: &[Note], ack: Ack) {
        for note in notes {
            self.report(link, note.object, note.state);
        }
        let notes: Vec<Note> = notes.iter().filter_map(|note| passed_on(*note)).collect();
        if notes.is_empty() {
            return ack.delivered().await;
        }
        self.counters.nvec_sets.increment();
        match self.lane.place() {
            Ok(place) => place.motr(notes, ack),
            Err(error) => {
                warn!(%link, %error, "an NVEC SET of Motr is not broadcast");
                self.counters.broadcasts_refused.increment();
                ack.delivered().await;
            }
        }
    }

    /// Notes what a process says of another one; the bridge's own has nothing to say.
    fn report(&self, link: LinkId, object: Fid, state: HaState) {
        let by = self.links.process_of(link);
        if let Some(by) = by.filter(|by| *by != self.links.own_process() && *by != object) {
            self.reports.say(link, by, object, state);
        }
    }

    async fn failure_vec(&self, link: LinkId, cookie: [u64; 2], ack: Ack) {
        let vector = FailureVec::stub(cookie);
        self.outbox.answer_failure_vec(link, &vector).await;
        self.counters.failure_vecs.increment();
        ack.delivered().await;
    }

    /// 5/HAX says `m0_panic()`; amendment A1 in `rfc/5-hax.md` says why we isolate the sender.
    async fn fatal(&self, link: LinkId, message: &Message, ack: Ack) {
        self.counters.fatal_messages.increment();
        let kind = message.kind();
        let Some(process) = self.links.process_of(link) else {
            return debug!(%link, message = kind, "the sender's link has ended already");
        };
        error!(%process, %link, message = kind, content = ?message,
            policy = ?self.on_fatal_message, "FATAL MESSAGE");
        if self.on_fatal_message == FatalMessage::Panic {
            // Logs go to stderr unbuffered: nothing is left to flush.
            std::process::abort();
        }
        if process == self.links.own_process() {
            return ack.delivered().await;
        }
        self.verdicts.isolate(process);
        if let Err(error) = self.lane.isolate(link, process) {
            // Its KV write and the drop of its link still follow, and then its check tells the rest.
            error!(%process, %error, "the failure of the process is not broadcast");
            self.counters.broadcasts_refused.increment();
        }
        self.push(link, Task::Isolate(process), ack).await;
    }
}

/// What of an NVEC SET of Motr is told to everyone (Hare's mapping).
fn passed_on(note: Note) -> Option<Note> {
    let state = match note.state {
        HaState::Online | HaState::Repaired => note.state,
        HaState::Repair => HaState::Failed,
        HaState::Rebalance => HaState::Repaired,
        HaState::Unknown | HaState::Failed | HaState::Transient | HaState::DtmRecovering => {
            return None;
        }
    };
    Some(Note { state, ..note })
}
