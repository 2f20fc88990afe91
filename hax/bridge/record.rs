//! Writing process statuses to KV, in an order that Consul keeps too.
//!
//! An attempt that was given up may still be carried out: a stalled agent reads its sockets when
//! it goes on, long after the client has left. Were writes unconditional, such a late one would
//! put an old status over a newer one. So each attempt names the `ModifyIndex` it replaces, and
//! one that comes late finds another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use consul_client::{Client, Error, Index, TxnOp};
use halink::Fid;

use super::state_tree::{StateTree, Written};
use crate::cluster::{StoredStatus, process};

/// Processes whose index is remembered; it only saves reading it.
const KNOWN_MAX: usize = 4_096;

/// How often an attempt reads the index anew when somebody else has written in between.
const ROUNDS: usize = 8;

/// Writes statuses under `processes/`, one at a time.
#[derive(Debug)]
pub struct Record {
    consul: Client,
    alias: bool,
    known: Mutex<HashMap<Fid, Index>>,
    states: Option<Arc<StateTree>>,
}

impl Record {
    /// A record in `consul`; `alias`: write `process/<fid>` beside `processes/<fid>`.
    pub fn new(consul: Client, alias: bool) -> Self {
        Self {
            consul,
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

    /// Makes one attempt to write a status, both keys in one transaction.
    ///
    /// # Errors
    /// Those of Consul; after one that may have taken effect, the attempt is to be repeated.
    pub async fn write(&self, process: Fid, status: StoredStatus) -> Result<Written, Error> {
        if let Some(states) = &self.states {
            return states.write(process, status).await;
        }
        let mut index = match self.known(process) {
            Some(index) => index,
            None => self.read(process).await?,
        };
        let mut rounds = 1..ROUNDS;
        loop {
            let replaced = match self
                .consul
                .txn()
                .commit(&self.ops(process, status, index))
                .await
            {
                Ok(pairs) => {
                    let written = pairs.first().map(|pair| pair.modify_index);
                    self.remember(process, written);
                    // Consul answers every write with its pair.
                    return Ok(Written::silent(written.unwrap_or_default()));
                }
                Err(Error::Aborted(reason)) => reason,
                Err(error) => return Err(error),
            };
            let found = self.read(process).await?;
            if found == index || rounds.next().is_none() {
                self.remember(process, None);
                return Err(replaced.into());
            }
            index = found;
        }
    }

    fn ops(&self, process: Fid, status: StoredStatus, index: Index) -> Vec<TxnOp> {
        let value = status.to_json();
        let mut ops = vec![TxnOp::cas(process::key(process), value.clone(), index)];
        if self.alias {
            // The first operation decides for both.
            ops.push(TxnOp::set(process::alias_key(process), value));
        }
        ops
    }

    /// The index of the key, zero if it does not exist.
    async fn read(&self, process: Fid) -> Result<Index, Error> {
        let pair = self.consul.kv().get(&process::key(process)).await?.value;
        let index = pair.map_or(Index(0), |pair| pair.modify_index);
        self.remember(process, Some(index));
        Ok(index)
    }

    fn known(&self, process: Fid) -> Option<Index> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&process).copied()
    }

    fn remember(&self, process: Fid, index: Option<Index>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match index {
            Some(index) => {
                if known.len() >= KNOWN_MAX && !known.contains_key(&process) {
                    known.clear();
                }
                known.insert(process, index);
            }
            None => {
                known.remove(&process);
            }
        }
    }
}
