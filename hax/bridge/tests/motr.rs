//! Motr: writes down what it is told.

use std::sync::{Arc, Mutex};

use halink::{EntrypointReply, Fid, HaState, LinkId, Note, ReplyError, RequestId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::{Replies, Written};
use super::EVER;

/// What Motr was told, each with the number of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Delivered(u64),
    States(u64, Vec<HaState>),
    Entrypoint(u64),
    Again(u64),
    /// A link of this process was dropped.
    Retired(Fid),
}

#[derive(Debug, Clone)]
pub(super) struct Motr {
    said: Arc<Mutex<Vec<Said>>>,
    count: Arc<watch::Sender<usize>>,
}

impl Default for Motr {
    fn default() -> Self {
        Self {
            said: Arc::default(),
            count: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Motr {
    fn note(&self, said: Said) {
        self.said.lock().unwrap().push(said);
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it was told this much.
    pub(super) async fn wait(&self, count: usize) -> Vec<Said> {
        let mut counted = self.count.subscribe();
        let counted = timeout(EVER, counted.wait_for(|n| *n >= count)).await;
        assert!(counted.is_ok(), "{count} in vain: {:?}", self.said());
        self.said()
    }
}

impl Replies for Motr {
    type Ack = u64;

    async fn delivered(&self, ack: u64) {
        self.note(Said::Delivered(ack));
    }

    async fn entrypoint(&self, request: RequestId, _: &EntrypointReply) -> Result<(), ReplyError> {
        self.note(Said::Entrypoint(request.lo));
        Ok(())
    }

    async fn again(&self, request: RequestId) -> Result<(), ReplyError> {
        self.note(Said::Again(request.lo));
        Ok(())
    }

    async fn nvec(&self, _: LinkId, id_of_get: u64, notes: Vec<Note>) {
        let states = notes.iter().map(|note| note.state).collect();
        self.note(Said::States(id_of_get, states));
    }

    async fn retire(&self, process: Fid, _: &str) {
        self.note(Said::Retired(process));
    }

    async fn retire_stopped(&self, _: LinkId, _: Fid) {}

    async fn tell(&self, _: Fid, _: Written) {}
}
