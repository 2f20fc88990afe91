//! Writing a status with everything it says of other objects (`rfc/11-hare-profile.md`).

use std::collections::HashMap;
use std::sync::Arc;

use consul_client::{CheckStatus, Client, Error, Index, KvPair, TXN_MAX_OPS, TxnAborted, TxnOp};
use halink::{Fid, Note};
use tracing::warn;

use crate::cluster::{ConfTree, HareState, ProcessTable, Relations, StoredStatus, View, process};
use crate::profile::{self, Audience, Effects, Found};

/// How often an attempt begins anew when somebody else has written in between.
const ROUNDS: usize = 8;

/// A status that is in KV.
#[derive(Debug)]
pub struct Written {
    /// The `ModifyIndex` of `processes/<fid>`.
    pub index: Index,
    /// What is to be broadcast of it.
    pub notes: Vec<Note>,
    /// To whom.
    pub to: Audience,
}

impl Written {
    /// A status that is told to nobody.
    pub fn silent(index: Index) -> Self {
        Self {
            index,
            notes: Vec::new(),
            to: Audience::Nobody,
        }
    }
}

/// Writes statuses together with the states under `m0conf/`.
#[derive(Debug)]
pub struct StateTree {
    /// Consul.
    pub consul: Client,
    /// The configuration tree, as the view knows it.
    pub view: View,
    /// The bridge's own process.
    pub own: Fid,
    /// Write `process/<fid>` beside `processes/<fid>`.
    pub alias: bool,
}

impl StateTree {
    /// Makes one attempt to write a status and all that comes of it. What an attempt that was given
    /// up has left of it is found by the next one.
    ///
    /// # Errors
    /// Those of Consul; after one that may have taken effect, the attempt is to be repeated.
    pub async fn write(&self, process: Fid, status: StoredStatus) -> Result<Written, Error> {
        let tree = self.tree().await?;
        let mut rounds = 1..ROUNDS;
        loop {
            match self.round(&tree, process, status).await {
                // What was read is not there any more.
                Err(Error::Aborted(_)) if rounds.next().is_some() => {}
                outcome => return outcome,
            }
        }
    }

    /// Writes that a process is lost, if by its status it is there (`rfc/11-hare-profile.md`); `None`:
    /// it is not, or somebody else has written that it is not. `checked` is the index of the check
    /// that says so: one that is older than the process's own word says nothing.
    ///
    /// # Errors
    /// Those of Consul; after one that may have taken effect, the attempt is to be repeated.
    pub async fn lose(
        &self,
        process: Fid,
        worst: CheckStatus,
        checked: u64,
    ) -> Result<Option<Written>, Error> {
        let tree = self.tree().await?;
        for _ in 0..ROUNDS {
            let key = process::key(process);
            let pair = self.consul.kv().get(&key).await?.value;
            let pairs = pair.iter().map(|pair| {
                (
                    pair.key.as_str(),
                    pair.value.as_slice(),
                    pair.modify_index.0,
                )
            });
            let table = ProcessTable::parse(pairs);
            if table.up_since(process).is_some_and(|up| checked < up) {
                return Ok(None);
            }
            let Some(status) = profile::is_lost(process, worst, self.own, &table) else {
                return Ok(None);
            };
            let index = pair.as_ref().map_or(Index(0), |pair| pair.modify_index);
            let plan = |stored: &dyn Fn(Fid) -> Option<HareState>| {
                profile::lost(&tree, stored, process, status)
            };
            match self.commit(&tree, process, index, plan).await {
                // A status written in between may say that it is there again.
                Err(Error::Aborted(_)) => {}
                outcome => return outcome.map(Some),
            }
        }
        Ok(None)
    }

    /// The tree of the view, or one read now if there is no view yet.
    async fn tree(&self) -> Result<Arc<ConfTree>, Error> {
        let known = self.view.last().tree;
        if known.is_empty() {
            return Ok(self.view.fresh().await?.tree);
        }
        Ok(known)
    }

    async fn round(
        &self,
        tree: &ConfTree,
        process: Fid,
        status: StoredStatus,
    ) -> Result<Written, Error> {
        let plan = |stored: &dyn Fn(Fid) -> Option<HareState>| {
            profile::effects(tree, stored, self.own, process, status)
        };
        let pair = self.consul.kv().get(&process::key(process)).await?.value;
        let index = pair.map_or(Index(0), |pair| pair.modify_index);
        self.commit(tree, process, index, plan).await
    }

    /// Commits what `plan` makes of the values that are stored, if the status still has this index.
    async fn commit(
        &self,
        tree: &ConfTree,
        process: Fid,
        index: Index,
        plan: impl Fn(&dyn Fn(Fid) -> Option<HareState>) -> Effects,
    ) -> Result<Written, Error> {
        let relations = tree.relations();
        let of_view = plan(&|object| relations.state(object));
        let key = process::key(process);
        let found = self.read(relations, process, &of_view).await?;
        let effects = plan(&|object| found.get(&object).map(Found::state));
        let (states, refused) = profile::operations(&effects, relations, &found);
        for (object, error) in refused {
            warn!(%object, %error, "the state of an object is left as it is");
        }
        let status = self.status_ops(process, effects.status, index);
        let mut written = None;
        for ops in profile::transactions(states, status) {
            let pairs = self.consul.txn().commit(&ops).await?;
            written = pairs.into_iter().find(|pair| pair.key == key);
        }
        Ok(Written {
            // Consul answers every write with its pair.
            index: written.map_or(Index(0), |pair| pair.modify_index),
            notes: effects.notes,
            to: effects.to,
        })
    }

    fn status_ops(&self, process: Fid, status: StoredStatus, index: Index) -> Vec<TxnOp> {
        let value = status.to_json();
        let mut ops = vec![TxnOp::cas(process::key(process), value.clone(), index)];
        if self.alias {
            ops.push(TxnOp::set(process::alias_key(process), value));
        }
        ops
    }

    /// Reads what may matter: all below the process at once, the rest key by key.
    async fn read(
        &self,
        relations: &Relations,
        process: Fid,
        effects: &Effects,
    ) -> Result<HashMap<Fid, Found>, Error> {
        let below = relations.key(process).map(|key| format!("{key}/"));
        let mut ops = Vec::new();
        let mut found = HashMap::new();
        for key in effects
            .reads
            .iter()
            .filter_map(|object| relations.key(*object))
        {
            if !below.as_ref().is_some_and(|below| key.starts_with(below)) {
                ops.push(TxnOp::get(key));
            }
        }
        if !effects.reads.is_empty() {
            ops.extend(below.map(TxnOp::get_tree));
        }
        for chunk in ops.chunks(TXN_MAX_OPS) {
            let pairs = self.read_present(chunk.to_vec()).await?;
            found.extend(pairs.into_iter().filter_map(found_in));
        }
        Ok(found)
    }

    /// Reads the keys that exist; one that does not aborts the whole transaction.
    async fn read_present(&self, mut ops: Vec<TxnOp>) -> Result<Vec<KvPair>, Error> {
        loop {
            let missing = match self.consul.txn().commit(&ops).await {
                Err(Error::Aborted(reason)) => reason,
                outcome => return outcome,
            };
            let before = ops.len();
            ops = without(ops, &missing);
            if ops.len() == before {
                return Err(missing.into());
            }
        }
    }
}

fn without(ops: Vec<TxnOp>, missing: &TxnAborted) -> Vec<TxnOp> {
    let present = ops
        .into_iter()
        .enumerate()
        .filter(|(n, _)| !missing.failed(*n));
    present.map(|(_, op)| op).collect()
}

fn found_in(pair: KvPair) -> Option<(Fid, Found)> {
    let object = pair.key.rsplit('/').next()?.parse().ok()?;
    let found = Found {
        value: pair.value,
        index: pair.modify_index,
    };
    Some((object, found))
}
