//! All that is stored under `fence/`, as one blocking query has seen it.

use std::collections::BTreeMap;

use consul_client::{Index, KvPair, SessionId};
use halink::Fid;
use serde::de::DeserializeOwned;

use super::model::{
    DeviceName, GuardRecord, Inhibit, NodeName, NodeRecord, OpId, Operation, PeerRecord,
    ProcessRecord, Target, keys,
};

/// A record, and the index with which it is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored<T> {
    /// The record.
    pub value: T,
    /// `ModifyIndex` of its key; 0: the key does not exist.
    pub index: Index,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What it has published.
    pub record: PeerRecord,
    /// The session that holds its key; none: it is not alive.
    pub session: Option<SessionId>,
}

/// Everything under `fence/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FenceView {
    /// Operations, ended ones too.
    pub ops: BTreeMap<OpId, Stored<Operation>>,
    /// The operation of each target that has not ended.
    pub active: BTreeMap<Target, Stored<Option<OpId>>>,
    /// Nodes that have been fenced.
    pub nodes: BTreeMap<NodeName, Stored<NodeRecord>>,
    /// Processes that are confirmed.
    pub processes: BTreeMap<Fid, Stored<ProcessRecord>>,
    /// Peers.
    pub peers: BTreeMap<NodeName, Peer>,
    /// Who holds the lock of a target.
    pub locks: BTreeMap<Target, SessionId>,
    /// How many slots of a device are taken.
    pub slots: BTreeMap<DeviceName, usize>,
    /// What the storm guard counts.
    pub guard: Stored<GuardRecord>,
    /// Inhibits by target; `*` is all.
    pub inhibits: BTreeMap<String, Stored<Inhibit>>,
    /// Keys whose value cannot be read, with the reason.
    pub malformed: BTreeMap<String, String>,
}

impl FenceView {
    /// Reads the pairs below `fence/`.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = &'a KvPair>) -> Self {
        let mut view = Self::default();
        for pair in pairs {
            if let Err(why) = view.add(pair) {
                view.malformed.insert(pair.key.clone(), why);
            }
        }
        view
    }

    /// The operation of a target that has not ended.
    pub fn active_op(&self, target: &Target) -> Option<&Stored<Operation>> {
        let id = self.active.get(target)?.value.as_ref()?;
        self.ops.get(id)
    }

    fn add(&mut self, pair: &KvPair) -> Result<(), String> {
        let Some((kind, name)) = pair
            .key
            .strip_prefix(keys::PREFIX)
            .map(|key| key.split_once('/').unwrap_or((key, "")))
        else {
            return Ok(());
        };
        match kind {
            "ops" => {
                self.ops.insert(named(name)?, stored(pair)?);
            }
            "active" => {
                let id = pair.text().ok().and_then(|id| id.parse().ok());
                let stored = Stored {
                    value: id,
                    index: pair.modify_index,
                };
                self.active.insert(named(name)?, stored);
            }
            "nodes" => {
                self.nodes.insert(named(name)?, stored(pair)?);
            }
            "processes" => {
                self.processes.insert(named(name)?, stored(pair)?);
            }
            "peers" => {
                let peer = Peer {
                    record: stored(pair)?.value,
                    session: pair.session.clone(),
                };
                self.peers.insert(named(name)?, peer);
            }
            "lock" => {
                if let Some(session) = &pair.session {
                    self.locks.insert(named(name)?, session.clone());
                }
            }
            "guard" => self.guard = stored(pair)?,
            "inhibit" => {
                self.inhibits.insert(name.to_owned(), stored(pair)?);
            }
            "slots" if pair.session.is_some() => {
                let device = name.split_once('/').map_or(name, |(device, _)| device);
                *self.slots.entry(named(device)?).or_default() += 1;
            }
            _ => {}
        }
        Ok(())
    }
}

fn named<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> Result<T, String> {
    name.parse().map_err(|error| format!("its name: {error}"))
}

fn stored<T: DeserializeOwned>(pair: &KvPair) -> Result<Stored<T>, String> {
    Ok(Stored {
        value: pair.json().map_err(|error| error.to_string())?,
        index: pair.modify_index,
    })
}
