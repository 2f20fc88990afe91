//! What a Consul watch said, as plain data.

use consul_client::CheckStatus;
use halink::{Fid, HaState};

/// A parsed watch payload. Everything in it has been validated at the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchUpdate {
    /// Health of services: `service` watches (`POST /`, `POST /watch/service`).
    Services(Vec<ServiceHealth>),
    /// State of checks: `checks` watches.
    Checks {
        /// Checks of services that are Motr processes.
        services: Vec<ServiceHealth>,
        /// The nodes' own checks (`serfHealth`).
        nodes: Vec<NodeHealth>,
        /// Checks that belong to neither.
        ignored: usize,
    },
    /// Names of the nodes in the catalog: `nodes` watches.
    Nodes(Vec<String>),
    /// Objects whose state is stored under the prefix: `keyprefix` watches.
    KeyPrefix {
        /// Stored states, UNKNOWN left out.
        states: Vec<(Fid, HaState)>,
        /// Keys that hold no state of an object.
        ignored: usize,
    },
}

impl WatchUpdate {
    /// Entries of the payload that say nothing of an object of Motr.
    pub fn ignored(&self) -> usize {
        match self {
            Self::Services(_) => 0,
            Self::Checks { ignored, .. } | Self::KeyPrefix { ignored, .. } => *ignored,
            Self::Nodes(nodes) => nodes.len(),
        }
    }
}

/// Health of one service instance, which is one Motr process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceHealth {
    /// Fid of the process, from the service's ID.
    pub process: Fid,
    /// Name of the Consul node it is registered on.
    pub node: String,
    /// The worst of its checks, the node's own included.
    pub status: CheckStatus,
    /// Raft index at which the check that decided `status` last changed (`ModifyIndex`).
    pub index: u64,
}

/// Health of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHealth {
    /// Name of the Consul node.
    pub node: String,
    /// Status of its `serfHealth` check.
    pub status: CheckStatus,
}
