//! The description of a cluster, `cluster.toml`, which `haxctl bootstrap` starts from.
//!
//! ```toml
//! profile = "default"                  # the default
//! pools = ["the pool"]                 # the default
//!
//! [consul]                             # copied into every hax.toml
//! address = "http://127.0.0.1:8500"    # the default
//!
//! [check]                              # of every process; these are the defaults
//! script = "/usr/libexec/hax/health-check.sh"
//! interval = "5s"
//! timeout = "5s"
//!
//! [[node]]
//! name = "ssu1"                        # also the name of its Consul agent
//! address = "192.168.180.162"
//!
//! [node.hax]
//! endpoint = 22001                     # a port: libfabric at the node's address
//! http = 8008                          # the default
//!
//! [node.confd]
//! endpoint = "inet:tcp:192.168.180.162@22101"
//!
//! [[node.ios]]
//! endpoint = 22201
//! sdevs = ["/dev/vdb", "/dev/vdc"]
//! log = "/dev/vdd"                     # optional, as is meta_data
//!
//! [[node.client]]
//! type = "m0_client_other"             # the default
//! endpoint = 22501
//! pattern = "my-client --verbose"      # each process may have one
//! ```

mod endpoint;
mod parse;
mod table;

use std::net::IpAddr;

pub use endpoint::{Endpoint, Transport};
pub use parse::parse;

/// Most nodes of a cluster.
pub const NODES_MAX: usize = 1024;
/// Most processes of each kind on a node.
pub const PROCESSES_MAX: usize = 64;
/// Most storage devices of an ios.
pub const SDEVS_MAX: usize = 256;
/// Most pools.
pub const POOLS_MAX: usize = 256;

/// A cluster, checked: names and endpoints are unique and there is a confd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Name of the only profile.
    pub profile: String,
    /// Names of the pools, all of them in the profile.
    pub pools: Vec<String>,
    /// Where every hax finds Consul.
    pub consul: String,
    /// How processes are checked.
    pub check: Check,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// The script check of every process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Path of `health-check.sh`.
    pub script: String,
    /// Time between two runs, as Consul writes durations.
    pub interval: String,
    /// When a run is killed, as Consul writes durations.
    pub timeout: String,
}

/// One node and its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name in Consul.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Its processes in the order of their fids, hax first.
    pub processes: Vec<Process>,
}

/// A process to be monitored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// What it is.
    pub kind: Kind,
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// Extended regular expression for its command line; `None`: the usual one of its kind.
    pub pattern: Option<String>,
}

/// What a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The bridge.
    Hax {
        /// Port of its HTTP server, on loopback.
        http: u16,
    },
    /// Configuration service.
    Confd,
    /// I/O service.
    Ios {
        /// Paths of its storage devices.
        sdevs: Vec<String>,
        /// Path of its log device.
        log: Option<String>,
        /// Path of its metadata device.
        meta_data: Option<String>,
    },
    /// A client.
    Client {
        /// Its name as a service, `m0_client_other` for instance.
        service: String,
    },
}

impl Kind {
    /// The name of its service in the Consul catalog.
    pub fn service(&self) -> &str {
        match self {
            Kind::Hax { .. } => "hax",
            Kind::Confd => "confd",
            Kind::Ios { .. } => "ios",
            Kind::Client { service } => service,
        }
    }
}

#[cfg(test)]
mod tests;
