//! Who waits for which frame.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::oneshot;

use crate::sim::client::Answer;
use crate::sim::wire::{Body, EntrypointRep, LinkStatus, NVEC_SET, Note};

/// One who asked for the entrypoint; nobody, where a connection asked by itself.
pub(super) struct Asker {
    pub(super) until_ok: bool,
    pub(super) to: Option<oneshot::Sender<EntrypointRep>>,
}

/// Everything that waits. Bounded by what the link holds: each GET and each failure
/// vector wait belongs to a message sent, and goes when its asker does.
#[derive(Default)]
pub(super) struct Waiters {
    askers: BTreeMap<u64, Asker>,
    deliveries: BTreeMap<u64, oneshot::Sender<()>>,
    gets: HashMap<u64, oneshot::Sender<Vec<Note>>>,
    /// By cookie alone: Motr does not look at the pool of a reply (`ha/failvec.c`), and 5/HAX
    /// answers every pool with the same one.
    vectors: HashMap<[u64; 2], oneshot::Sender<Vec<Note>>>,
}

impl Waiters {
    pub(super) fn asked(&mut self, seq: u64, asker: Asker) {
        self.askers.insert(seq, asker);
    }

    /// Tells the asker, or returns it if it is to ask again.
    pub(super) fn reply(&mut self, rep: &EntrypointRep) -> Option<Asker> {
        let asker = self.askers.remove(&rep.seq).unwrap_or(Asker {
            until_ok: true,
            to: None,
        });
        if rep.status == LinkStatus::Absent {
            return None;
        }
        if rep.rc != 0 && asker.until_ok {
            return Some(asker);
        }
        if let Some(to) = asker.to {
            // The asker may be gone.
            let _ = to.send(rep.clone());
        }
        None
    }

    pub(super) fn sent(
        &mut self,
        tag: u64,
        delivered: oneshot::Sender<()>,
        answer: Option<Answer>,
    ) {
        self.deliveries.insert(tag, delivered);
        match answer {
            None => {}
            Some(Answer::Get { id, to }) => {
                self.gets.retain(|_, to| !to.is_closed());
                self.gets.insert(id, to);
            }
            Some(Answer::FailureVec { cookie, to }) => {
                self.vectors.retain(|_, to| !to.is_closed());
                self.vectors.insert(cookie, to);
            }
        }
    }

    pub(super) fn delivered(&mut self, tag: u64) {
        if let Some(to) = self.deliveries.remove(&tag) {
            let _ = to.send(());
        }
    }

    pub(super) fn message(&mut self, body: &Body) {
        let (to, notes) = match body {
            Body::Nvec {
                kind: NVEC_SET,
                id_of_get,
                notes,
                ..
            } => (self.gets.remove(id_of_get), notes),
            Body::FailureVecRep { cookie, notes, .. } => (self.vectors.remove(cookie), notes),
            _ => return,
        };
        if let Some(to) = to {
            let _ = to.send(notes.clone());
        }
    }
}
