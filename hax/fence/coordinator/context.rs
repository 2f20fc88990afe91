//! What all tasks of the coordinator have at hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consul_client::{Client, Error, Index, KvPair, ReadOptions, TxnAborted, TxnOp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::end::NodeNow;
use super::follower::Nodes;
use super::session::Lease;
use crate::config::fence::FenceConfig;
use crate::fence::executor::Executor;
use crate::fence::model::{NodeName, OpId, Operation, UnixMillis, keys};
use crate::fence::plan::Facts;
use crate::fence::{FenceView, Stored};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) config: Arc<FenceConfig>,
    /// This node.
    pub(super) me: NodeName,
    pub(super) consul: Client,
    /// Bound of one request to Consul.
    pub(super) timeout: Duration,
    pub(super) executor: Executor,
    pub(super) views: watch::Receiver<Arc<FenceView>>,
    pub(super) nodes: watch::Receiver<Arc<Nodes>>,
    pub(super) leases: watch::Receiver<Option<Lease>>,
}

/// Why a transaction did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// A condition does not hold: somebody was first.
    #[error(transparent)]
    Lost(TxnAborted),
    /// Consul did not do it, or nobody knows whether it did.
    #[error(transparent)]
    Away(Error),
}

impl Context {
    /// Commits a transaction.
    pub(super) async fn commit(&self, ops: &[TxnOp]) -> Result<(), Failed> {
        match self.consul.txn().commit(ops).await {
            Ok(_) => Ok(()),
            Err(Error::Aborted(aborted)) => Err(Failed::Lost(aborted)),
            Err(error) => Err(Failed::Away(error)),
        }
    }

    /// A consistent read of a key.
    pub(super) async fn read(&self, key: &str) -> Result<Option<KvPair>, Error> {
        let kv = self.consul.kv().with(ReadOptions::consistent());
        Ok(kv.get(key).await?.value)
    }

    /// A consistent read of a record; index 0 and the default without one.
    pub(super) async fn record<T: DeserializeOwned + Default>(
        &self,
        key: &str,
    ) -> Result<Stored<T>, Error> {
        match self.read(key).await? {
            None => Ok(Stored::default()),
            Some(pair) => Ok(Stored {
                value: pair.json()?,
                index: pair.modify_index,
            }),
        }
    }

    /// A consistent read of a node's record.
    pub(super) async fn node(&self, node: &NodeName) -> Result<NodeNow, Error> {
        let Some(pair) = self.read(&keys::node(node)).await? else {
            return Ok(NodeNow::Read(Stored::default()));
        };
        let index = pair.modify_index;
        Ok(match pair.json() {
            Ok(value) => NodeNow::Read(Stored { value, index }),
            Err(_) => NodeNow::Unreadable(index),
        })
    }

    /// A consistent read of an operation.
    pub(super) async fn operation(&self, id: &OpId) -> Result<Option<Stored<Operation>>, Error> {
        let Some(pair) = self.read(&keys::op(id)).await? else {
            return Ok(None);
        };
        Ok(Some(Stored {
            value: pair.json()?,
            index: pair.modify_index,
        }))
    }

    /// The view.
    pub(super) fn view(&self) -> Arc<FenceView> {
        Arc::clone(&self.views.borrow())
    }

    /// The nodes of the catalog.
    pub(super) fn nodes(&self) -> Arc<Nodes> {
        Arc::clone(&self.nodes.borrow())
    }

    /// The session, while there is one.
    pub(super) fn lease(&self) -> Option<Lease> {
        self.leases.borrow().clone()
    }

    /// What a plan is made from.
    pub(super) fn facts<'a>(&'a self, view: &'a FenceView, nodes: &'a Nodes) -> Facts<'a> {
        Facts {
            config: &self.config,
            traits: self.executor.traits(),
            peers: &view.peers,
            nodes,
        }
    }
}

/// The time of day.
pub(super) fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMillis(millis(now.unwrap_or_default()))
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A record as it is stored.
pub(super) fn json(record: &impl Serialize) -> Vec<u8> {
    // Plain data with string keys always serializes; an empty value would be malformed, not wrong.
    serde_json::to_vec(record).unwrap_or_default()
}

/// Writes an operation that is still as it was read.
pub(super) fn write(op: &Operation, index: Index) -> TxnOp {
    TxnOp::cas(keys::op(&op.id), json(op), index)
}

/// Checks that a key is as it was read; index 0: that it does not exist.
pub(super) fn unchanged(key: String, index: Index) -> TxnOp {
    if index == Index(0) {
        TxnOp::check_not_exists(key)
    } else {
        TxnOp::check_index(key, index)
    }
}
