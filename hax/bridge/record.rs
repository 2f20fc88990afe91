//! Writing process statuses to KV, in an order that Consul keeps too.
//!
//! An attempt that was given up may still be carried out: a stalled agent reads its sockets when
//! it goes on, long after the client has left. Were writes unconditional, such a late one would
//! put an old status over a newer one. So each attempt names the `ModifyIndex` it replaces, and
//! one that comes late finds another.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consul_client::{Error, Index, TXN_MAX_OPS, TxnOp};
use halink::Fid;

use super::state_tree::{StateTree, Written};
use super::store::Store;
use crate::cluster::{StoredStatus, process};

/// Processes whose index is remembered; it only saves reading it.
const KNOWN_MAX: usize = 4_096;

/// How often an attempt reads the indexes anew when somebody else has written in between.
const ROUNDS: usize = 8;

/// A status to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Whose.
    pub process: Fid,
    /// The status.
    pub status: StoredStatus,
}

/// Writes statuses under `processes/`.
#[derive(Debug)]
pub struct Record {
    alias: bool,
    known: Mutex<HashMap<Fid, Index>>,
    states: Option<Arc<StateTree>>,
}

impl Record {
    /// A record; `alias`: write `process/<fid>` beside `processes/<fid>`.
    pub fn new(alias: bool) -> Self {
        Self {
            alias,
            known: Mutex::default(),
            states: None,
        }
    }

    /// A record that keeps the states under `m0conf/` as well, each with the status it comes of.
    pub fn with_states(self, states: Arc<StateTree>) -> Self {
        Self {
            states: Some(states),
            ..self
        }
    }

    /// How many statuses one transaction holds.
    pub fn capacity(&self) -> usize {
        if self.states.is_some() {
            // Two statuses of a node change the same objects around it.
            return 1;
        }
        TXN_MAX_OPS / self.keys()
    }

    fn keys(&self) -> usize {
        if self.alias { 2 } else { 1 }
    }

    /// Makes one attempt to write statuses, at most [`Self::capacity`] of them, in their order and
    /// in one transaction.
    ///
    /// Attempts for one process must not run side by side.
    ///
    /// # Errors
    /// Those of Consul; after one that may have taken effect, the attempt is to be repeated.
    pub async fn write<S: Store>(&self, store: &S, writes: &[Write]) -> Result<Written, Error> {
        if let (Some(states), [write]) = (&self.states, writes) {
            return states.write(write.process, write.status).await;
        }
        let mut replaced = self.indexes(store, writes).await?;
        let mut rounds = 1..ROUNDS;
        loop {
            let aborted = match store.commit(&self.ops(writes, &replaced)).await {
                Ok(pairs) => {
                    // Consul answers every write with its pair; all have the same index.
                    let index = pairs.first().map(|pair| pair.modify_index);
                    self.remember(writes, index);
                    return Ok(Written::silent(index.unwrap_or_default()));
                }
                Err(Error::Aborted(reason)) => reason,
                Err(error) => return Err(error),
            };
            self.remember(writes, None);
            let found = self.indexes(store, writes).await?;
            if found == replaced || rounds.next().is_none() {
                return Err(aborted.into());
            }
            replaced = found;
        }
    }

    fn ops(&self, writes: &[Write], replaced: &HashMap<Fid, Index>) -> Vec<TxnOp> {
        let mut ops = Vec::with_capacity(writes.len() * self.keys());
        let mut written = HashSet::with_capacity(writes.len());
        for Write { process, status } in writes {
            let value = status.to_json();
            let key = process::key(*process);
            // The first write of a process decides for those after it, and for the alias: the
            // transaction is carried out as a whole.
            ops.push(if written.insert(process) {
                let index = replaced.get(process).copied().unwrap_or_default();
                TxnOp::cas(key, value.clone(), index)
            } else {
                TxnOp::set(key, value.clone())
            });
            if self.alias {
                ops.push(TxnOp::set(process::alias_key(*process), value));
            }
        }
        ops
    }

    /// The index of each status to replace: as remembered, or read.
    async fn indexes<S: Store>(
        &self,
        store: &S,
        writes: &[Write],
    ) -> Result<HashMap<Fid, Index>, Error> {
        let mut indexes = HashMap::with_capacity(writes.len());
        let mut unknown = Vec::new();
        {
            let known = self.lock();
            for Write { process, .. } in writes {
                match known.get(process) {
                    Some(index) => _ = indexes.insert(*process, *index),
                    None if !unknown.contains(process) => unknown.push(*process),
                    None => {}
                }
            }
        }
        if !unknown.is_empty() {
            indexes.extend(store.indexes(&unknown).await?);
        }
        Ok(indexes)
    }

    fn remember(&self, writes: &[Write], index: Option<Index>) {
        let mut known = self.lock();
        for Write { process, .. } in writes {
            match index {
                Some(index) => {
                    if known.len() >= KNOWN_MAX && !known.contains_key(process) {
                        known.clear();
                    }
                    known.insert(*process, index);
                }
                None => _ = known.remove(process),
            }
        }
    }

    /// No code panics with the lock held, so a poisoned table is still a whole one.
    fn lock(&self) -> MutexGuard<'_, HashMap<Fid, Index>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
