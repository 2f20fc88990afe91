//! Reading the view of the cluster from Consul.

use std::sync::Arc;

use consul_client::{CheckStatus, Client, HealthCheck, KvPair, SERF_HEALTH, StateFilter};

use super::{ConfTree, Failing, ProcessTable, Snapshot, process, process_of_service_id};

/// Prefix of the configuration tree.
pub(super) const CONF_PREFIX: &str = "m0conf/";

/// Reads everything afresh.
///
/// # Errors
/// The first of the three reads that failed.
pub async fn read_snapshot(consul: &Client) -> Result<Snapshot, consul_client::Error> {
    let kv = consul.kv();
    let health = consul.health();
    let (conf, processes, critical) = tokio::try_join!(
        kv.list(CONF_PREFIX),
        kv.list(process::PREFIX),
        health.state(StateFilter::Critical),
    )?;
    Ok(Snapshot {
        tree: Arc::new(tree(&conf.value)),
        processes: Arc::new(table(&processes.value)),
        failing: Arc::new(failing(&critical.value)),
    })
}

pub(super) fn tree(pairs: &[KvPair]) -> ConfTree {
    ConfTree::parse(
        pairs
            .iter()
            .map(|pair| (pair.key.as_str(), pair.value.as_slice())),
    )
}

pub(super) fn table(pairs: &[KvPair]) -> ProcessTable {
    ProcessTable::parse(pairs.iter().map(|pair| {
        (
            pair.key.as_str(),
            pair.value.as_slice(),
            pair.modify_index.0,
        )
    }))
}

pub(super) fn failing(checks: &[HealthCheck]) -> Failing {
    let mut failing = Failing::default();
    for check in checks
        .iter()
        .filter(|check| check.status >= CheckStatus::Critical)
    {
        if let Some(process) = process_of_service_id(&check.service_id) {
            let index = failing.processes.entry(process).or_default();
            *index = check.modify_index.0.max(*index);
        } else if check.check_id == SERF_HEALTH {
            failing.nodes.insert(check.node.clone());
        }
    }
    failing
}
