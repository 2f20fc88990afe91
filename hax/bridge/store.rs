//! What the handling of requests asks of Consul.

use std::collections::HashMap;

use consul_client::{Client, Error, Index, KvPair, ReadOptions, StateFilter, TxnOp};
use halink::Fid;

use super::entrypoint::{EntrypointError, Facts};
use super::states::States;
use crate::cluster::{StoredStatus, View, process};
use crate::profile::Checks;

/// Consul, as the handling of requests sees it.
pub trait Store: Send + Sync + 'static {
    /// Commits a transaction: all operations or none.
    fn commit(&self, ops: &[TxnOp]) -> impl Future<Output = Result<Vec<KvPair>, Error>> + Send;

    /// The `ModifyIndex` of the status of each of these processes; zero: it has none.
    fn indexes(
        &self,
        processes: &[Fid],
    ) -> impl Future<Output = Result<HashMap<Fid, Index>, Error>> + Send;

    /// The state of the cluster, no older than the call.
    fn fresh(&self) -> impl Future<Output = Result<States, Error>> + Send;

    /// The state of the cluster as last known.
    fn last_known(&self) -> States;

    /// The status of a process as last known.
    fn last_status(&self, process: Fid) -> Option<StoredStatus>;

    /// What entrypoint replies are built from, no older than the call.
    fn facts(&self) -> impl Future<Output = Result<Facts, EntrypointError>> + Send;
}

/// The local Consul agent and the view that follows it.
#[derive(Debug, Clone)]
pub struct ConsulStore {
    /// The agent.
    pub consul: Client,
    /// The view.
    pub view: View,
    /// In profile `hare`, the bridge's own process.
    pub hare: Option<Fid>,
}

impl Store for ConsulStore {
    async fn commit(&self, ops: &[TxnOp]) -> Result<Vec<KvPair>, Error> {
        self.consul.txn().commit(ops).await
    }

    async fn indexes(&self, processes: &[Fid]) -> Result<HashMap<Fid, Index>, Error> {
        let kv = self.consul.kv();
        let pairs = match processes {
            [process] => Vec::from_iter(kv.get(&process::key(*process)).await?.value),
            _ => kv.list(process::PREFIX).await?.value,
        };
        let found: HashMap<Fid, Index> = pairs
            .into_iter()
            .filter_map(|pair| Some((process::of_key(&pair.key)?, pair.modify_index)))
            .collect();
        let index = |process: &Fid| (*process, found.get(process).copied().unwrap_or_default());
        Ok(processes.iter().map(index).collect())
    }

    async fn fresh(&self) -> Result<States, Error> {
        let Some(own) = self.hare else {
            return Ok(States::FiveHax(self.view.fresh().await?));
        };
        // Hare's answers need the checks that pass, which the view does not keep.
        let health = self.consul.health().with(ReadOptions::consistent());
        let (snapshot, checks) =
            tokio::try_join!(self.view.fresh(), health.state(StateFilter::Any))?;
        Ok(States::Hare {
            snapshot,
            checks: Checks::of(&checks.value),
            own,
        })
    }

    fn last_known(&self) -> States {
        let snapshot = self.view.last();
        match self.hare {
            None => States::FiveHax(snapshot),
            // Without checks no process passes: all are TRANSIENT.
            Some(own) => States::Hare {
                snapshot,
                checks: Checks::default(),
                own,
            },
        }
    }

    fn last_status(&self, process: Fid) -> Option<StoredStatus> {
        self.view.last().processes.get(process)
    }

    async fn facts(&self) -> Result<Facts, EntrypointError> {
        Facts::read(&self.consul).await
    }
}
