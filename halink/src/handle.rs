//! Commands to the interface.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::delivery::Delivery;
use crate::entrypoint::EntrypointReply;
use crate::error::{ReplyError, SendError};
use crate::failure_vec::FailureVec;
use crate::fid::Fid;
use crate::id::{LinkId, RequestId, Tag};
use crate::nvec::NvecSet;
use crate::process::ProcessStatus;
use crate::state::NOTES_MAX;

/// Commands that wait for the sending thread at most; beyond it the callers wait.
pub(crate) const COMMANDS_MAX: usize = 256;

/// What the sending thread does.
#[derive(Debug)]
pub(crate) enum Command {
    Reply {
        req_id: RequestId,
        answer: Answer,
        done: oneshot::Sender<Result<(), ReplyError>>,
    },
    Send {
        link: LinkId,
        outgoing: Outgoing,
        done: oneshot::Sender<Result<Delivery, SendError>>,
    },
    Broadcast {
        links: Vec<LinkId>,
        nvec: Arc<NvecSet>,
        done: oneshot::Sender<Broadcast>,
    },
    Delivered {
        link: LinkId,
        tag: Tag,
    },
    /// Looks at the start gate.
    Wake,
    Shutdown,
}

/// What became of a message on each link, in the order in which the links were given.
pub type Broadcast = Vec<(LinkId, Result<Delivery, SendError>)>;

/// An answer to an entrypoint request.
#[derive(Debug)]
pub(crate) enum Answer {
    Entrypoint(EntrypointReply),
    Again,
}

/// A message to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Nvec(NvecSet),
    FailureVec(FailureVec),
    Process(Fid, ProcessStatus),
}

/// Numbers that grow in callbacks.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) events: AtomicUsize,
    pub(crate) messages: AtomicUsize,
    pub(crate) callback_panics: AtomicU64,
}

/// The state of the queues, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Events not yet received from [`Events`](crate::Events).
    pub events: usize,
    /// Messages received that are neither acknowledged nor given up.
    pub messages: usize,
    /// Commands that wait for the sending thread.
    pub commands: usize,
    /// Callbacks that panicked since the interface was made; each left an event unreported.
    pub callback_panics: u64,
}

/// Sends commands to the interface. Cheap to clone; useless, but harmless, once the interface is
/// stopped.
///
/// Every command waits for a place in a bounded queue. A command whose future is dropped while it
/// waits for its place is not executed; one that is dropped later is.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    counters: Arc<Counters>,
}

impl Handle {
    pub(crate) fn new(commands: mpsc::Sender<Command>, counters: Arc<Counters>) -> Handle {
        Handle { commands, counters }
    }

    /// Answers an entrypoint request. The link of the process is bound, and reported, before it
    /// returns.
    ///
    /// # Errors
    ///
    /// A reply beyond the limits of [`EntrypointReply`] is not sent, and the request remains
    /// unanswered. [`ReplyError::Unknown`] if the request has its answer.
    pub async fn entrypoint_reply(
        &self,
        req_id: RequestId,
        reply: &EntrypointReply,
    ) -> Result<(), ReplyError> {
        reply.validate()?;
        self.reply(req_id, Answer::Entrypoint(reply.clone())).await
    }

    /// Answers an entrypoint request with `EAGAIN`: the process asks again at once, so take your
    /// time before you say so.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Unknown`] if the request has its answer.
    pub async fn entrypoint_again(&self, req_id: RequestId) -> Result<(), ReplyError> {
        self.reply(req_id, Answer::Again).await
    }

    /// Sends states of objects.
    ///
    /// # Errors
    ///
    /// More than [`NOTES_MAX`] notes are refused; otherwise what became of the link.
    pub async fn send_nvec(&self, link: LinkId, nvec: &NvecSet) -> Result<Delivery, SendError> {
        check_notes(nvec.notes.len())?;
        self.send(link, Outgoing::Nvec(nvec.clone())).await
    }

    /// Sends states of objects on many links: one command, and one message made for all of them. A
    /// link that it cannot be sent on keeps it from no other.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::send_nvec`], for each link.
    pub async fn broadcast(&self, links: &[LinkId], nvec: Arc<NvecSet>) -> Broadcast {
        let all = |error: SendError| {
            let failed = |link: &LinkId| (*link, Err(error));
            links.iter().map(failed).collect()
        };
        if let Err(error) = check_notes(nvec.notes.len()) {
            return all(error);
        }
        let (done, result) = oneshot::channel();
        let command = Command::Broadcast {
            links: links.to_vec(),
            nvec,
            done,
        };
        if self.commands.send(command).await.is_err() {
            return all(SendError::Stopped);
        }
        result.await.unwrap_or_else(|_| all(SendError::Stopped))
    }

    /// Sends a failure vector.
    ///
    /// # Errors
    ///
    /// More than [`NOTES_MAX`] notes are refused; otherwise what became of the link.
    pub async fn send_failure_vec(
        &self,
        link: LinkId,
        vector: &FailureVec,
    ) -> Result<Delivery, SendError> {
        check_notes(vector.notes.len())?;
        self.send(link, Outgoing::FailureVec(vector.clone())).await
    }

    /// Sends an event of the process `process`.
    ///
    /// # Errors
    ///
    /// What became of the link.
    pub async fn send_process_event(
        &self,
        link: LinkId,
        process: Fid,
        status: &ProcessStatus,
    ) -> Result<Delivery, SendError> {
        self.send(link, Outgoing::Process(process, *status)).await
    }

    /// The state of the queues.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            events: self.counters.events.load(Ordering::Relaxed),
            messages: self.counters.messages.load(Ordering::Relaxed),
            commands: self.commands.max_capacity() - self.commands.capacity(),
            callback_panics: self.counters.callback_panics.load(Ordering::Relaxed),
        }
    }

    async fn reply(&self, req_id: RequestId, answer: Answer) -> Result<(), ReplyError> {
        let (done, result) = oneshot::channel();
        let command = Command::Reply {
            req_id,
            answer,
            done,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| ReplyError::Stopped)?;
        result.await.map_err(|_| ReplyError::Stopped)?
    }

    async fn send(&self, link: LinkId, outgoing: Outgoing) -> Result<Delivery, SendError> {
        let (done, result) = oneshot::channel();
        let command = Command::Send {
            link,
            outgoing,
            done,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| SendError::Stopped)?;
        result.await.map_err(|_| SendError::Stopped)?
    }
}

fn check_notes(nr: usize) -> Result<(), SendError> {
    if nr > NOTES_MAX {
        Err(SendError::TooManyNotes(nr))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{HaState, Note};

    #[tokio::test]
    async fn a_handle_without_an_interface_says_so() {
        let (commands, receiver) = mpsc::channel(1);
        drop(receiver);
        let handle = Handle::new(commands, Arc::default());
        let req_id = RequestId { hi: 0, lo: 1 };
        assert_eq!(
            handle.entrypoint_again(req_id).await,
            Err(ReplyError::Stopped)
        );
        let vector = FailureVec::stub([0, 0]);
        let error = handle
            .send_failure_vec(LinkId(1), &vector)
            .await
            .unwrap_err();
        assert!(error.is_stopped());
        let nvec = NvecSet {
            id_of_get: 0,
            ignore_same_state: true,
            notes: Vec::new(),
        };
        let links = [LinkId(7), LinkId(3)];
        let results = handle.broadcast(&links, Arc::new(nvec)).await;
        for (link, (of, result)) in links.iter().zip(results) {
            assert_eq!((*link, true), (of, result.unwrap_err().is_stopped()));
        }
    }

    #[tokio::test]
    async fn a_command_that_the_sender_drops_fails() {
        let (commands, mut receiver) = mpsc::channel(1);
        let handle = Handle::new(commands, Arc::default());
        let call = handle.entrypoint_again(RequestId { hi: 0, lo: 1 });
        let (result, ()) = tokio::join!(call, async {
            drop(receiver.recv().await);
        });
        assert_eq!(result, Err(ReplyError::Stopped));
    }

    #[tokio::test]
    async fn too_many_notes_do_not_reach_the_queue() {
        let (commands, mut receiver) = mpsc::channel(1);
        let handle = Handle::new(commands, Arc::default());
        let notes = vec![
            Note {
                object: Fid::NIL,
                state: HaState::Online
            };
            NOTES_MAX + 1
        ];
        let nvec = NvecSet {
            id_of_get: 0,
            ignore_same_state: true,
            notes,
        };
        let error = handle.send_nvec(LinkId(1), &nvec).await.unwrap_err();
        assert_eq!(error, SendError::TooManyNotes(1025));
        let results = handle.broadcast(&[LinkId(1)], Arc::new(nvec)).await;
        let refused = |(_, result): &(_, Result<_, _>)| result.as_ref().err() == Some(&error);
        assert!(results.len() == 1 && results.iter().all(refused));
        assert!(receiver.try_recv().is_err());
        assert_eq!(
            handle.stats(),
            Stats {
                events: 0,
                messages: 0,
                commands: 0,
                callback_panics: 0
            }
        );
    }
}
