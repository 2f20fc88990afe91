//! Where every event of the interface goes: what needs Consul to the dispatcher, what is to be
//! broadcast to the lane, the rest is done at once.

use std::sync::Arc;

use halink::{Event, Events, FailureVec, Fid, FidType, HaState, Message, Note, NvecSet, Received};
use tracing::{debug, error, info, warn};

use super::counters::Counters;
use super::lane::Lane;
use super::links::Links;
use super::outbox::Outbox;
use crate::config::FatalMessage;
use crate::dispatch::{Dispatcher, Request};

/// The fid of every failure vector we answer with (5/HAX, "Messages from Motr").
const FAILURE_VEC: Fid = Fid::typed(FidType::Pool, 2, 9);

/// The task that receives the events.
#[derive(Debug)]
pub struct Router {
    /// Live links.
    pub links: Arc<Links>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// Replies that need no Consul.
    pub outbox: Outbox,
    /// Requests.
    pub dispatcher: Dispatcher,
    /// Broadcasts.
    pub lane: Lane,
    /// `ha.on_fatal_message`.
    pub on_fatal_message: FatalMessage,
}

impl Router {
    /// Routes until the interface has stopped.
    pub async fn run(self, mut events: Events) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Entrypoint(request) => {
                    self.links.asked(&request);
                    self.dispatcher.push(Request::Entrypoint(request)).await;
                }
                Event::Message(received) => self.message(received).await,
                Event::LinkConnected(link) => {
                    info!(link = %link.id, process = %link.process, endpoint = link.endpoint,
                        "link connected");
                    self.links.add(&link);
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
                    let process = self.links.remove(link).map(|process| process.to_string());
                    info!(%link, process, "link is disconnecting");
                }
                Event::LinkDisconnected(link) => info!(%link, "link disconnected"),
            }
        }
    }

    async fn message(&self, received: Received) {
        self.links.count_received(received.link);
        let ignored = match &received.message {
            Message::Process(_) | Message::NvecGet(_) => {
                return self.dispatcher.push(Request::Message(received)).await;
            }
            Message::NvecSet(_) => return self.nvec_set(received).await,
            Message::FailureVecReq(request) => {
                let cookie = request.cookie;
                return self.failure_vec(received, cookie).await;
            }
            Message::FailureVecRep(reply) => {
                let cookie = reply.cookie;
                return self.failure_vec(received, cookie).await;
            }
            Message::KeepaliveReq(_)
            | Message::KeepaliveRep(_)
            | Message::BeIoErr(_)
            | Message::SnsErr(_) => return self.fatal(received).await,
            Message::StobIoq(_) => &self.counters.stob_ioq,
            Message::Service(_) => &self.counters.service_events,
            Message::Rpc(_) => &self.counters.rpc_events,
            Message::Malformed { reason, .. } => {
                error!(link = %received.link, tag = %received.tag, %reason,
                    "a message that cannot be handled is acknowledged and dropped");
                &self.counters.malformed
            }
        };
        ignored.increment();
        debug!(link = %received.link, message = received.message.kind(), "ignored");
        received.delivered().await;
    }

    async fn nvec_set(&self, received: Received) {
        let Message::NvecSet(NvecSet { notes, .. }) = &received.message else {
            return;
        };
        let notes: Vec<Note> = notes.iter().filter_map(|note| passed_on(*note)).collect();
        if notes.is_empty() {
            return received.delivered().await;
        }
        self.counters.nvec_sets.increment();
        match self.lane.place() {
            Ok(place) => place.motr(received, notes),
            Err(error) => {
                warn!(link = %received.link, %error, "an NVEC SET of Motr is not broadcast");
                self.counters.broadcasts_refused.increment();
                received.delivered().await;
            }
        }
    }

    async fn failure_vec(&self, received: Received, cookie: [u64; 2]) {
        let vector = FailureVec {
            pool: FAILURE_VEC,
            cookie,
            notes: Vec::new(),
        };
        self.outbox.answer_failure_vec(received.link, &vector).await;
        self.counters.failure_vecs.increment();
        received.delivered().await;
    }

    /// 5/HAX says `m0_panic()`; amendment A1 in `rfc/5-hax.md` says why we isolate the sender.
    async fn fatal(&self, received: Received) {
        self.counters.fatal_messages.increment();
        let message = received.message.kind();
        let Some(process) = self.links.process_of(received.link) else {
            return debug!(link = %received.link, message, "the sender's link has ended already");
        };
        error!(%process, link = %received.link, message, content = ?received.message,
            policy = ?self.on_fatal_message, "FATAL MESSAGE");
        if self.on_fatal_message == FatalMessage::Panic {
            // Logs go to stderr unbuffered: nothing is left to flush.
            std::process::abort();
        }
        if process == self.links.own_process() {
            return received.delivered().await;
        }
        if let Err(error) = self.lane.isolate(received.link, process) {
            // Its KV write and the drop of its link still follow, and then its check tells the rest.
            error!(%process, %error, "the failure of the process is not broadcast");
            self.counters.broadcasts_refused.increment();
        }
        self.dispatcher.push(Request::Message(received)).await;
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
