//! Fids of a described cluster.
//!
//! They depend on the description alone: keys count from 0 for each type, in the order
//! of the nodes and, on a node, hax, confd, ios, clients. Storage devices are numbered
//! last: those of all ios first, then one more for the metadata of each ios, as its
//! `cas` service has it. Adding a node at the end therefore changes no fid but those of
//! the latter.

use halink::{Fid, FidType};

use crate::ctl::cluster::{Cluster, Kind, Node, Process};

/// Container below the type's letter: that of a cluster's first and only configuration.
const CONTAINER: u64 = 1;

/// The fid of a type with a key.
pub(super) fn fid(fid_type: FidType, key: u64) -> Fid {
    Fid::typed(fid_type, CONTAINER, key)
}

/// A node with its fids.
#[derive(Debug)]
pub(super) struct NodeLayout<'c> {
    pub(super) node: &'c Node,
    /// Key of the node, its enclosure and its controller.
    pub(super) key: u64,
    pub(super) processes: Vec<ProcessLayout<'c>>,
}

/// A process with its fids.
#[derive(Debug)]
pub(super) struct ProcessLayout<'c> {
    pub(super) process: &'c Process,
    pub(super) key: u64,
    pub(super) services: Vec<Service<'c>>,
}

/// A Motr service of a process.
#[derive(Debug)]
pub(super) struct Service<'c> {
    pub(super) name: &'c str,
    pub(super) key: u64,
    /// Paths and keys of its storage devices.
    pub(super) sdevs: Vec<(&'c str, u64)>,
}

impl ProcessLayout<'_> {
    pub(super) fn fid(&self) -> Fid {
        fid(FidType::Process, self.key)
    }
}

/// Services of an ios, in the order in which they are numbered.
const IOS: [&str; 12] = [
    "rms", "ios", "sns_rep", "sns_reb", "dix_rep", "dix_reb", "addb2", "cas", "iscs", "fdmi",
    "fis", "dtm0",
];

/// Numbers everything in a cluster.
pub(super) fn layout(cluster: &Cluster) -> Vec<NodeLayout<'_>> {
    let (mut processes, mut services, mut sdevs) = (0_u64.., 0_u64.., 0_u64..);
    let mut nodes = Vec::new();
    for (node, key) in cluster.nodes.iter().zip(0_u64..) {
        let mut layouts = Vec::new();
        for (process, key) in node.processes.iter().zip(&mut processes) {
            let names: Vec<&str> = match &process.kind {
                Kind::Hax { .. } => vec!["ha", "rms"],
                Kind::Confd => vec!["rms", "confd"],
                Kind::Ios { .. } => IOS.to_vec(),
                Kind::Client { service } => vec!["rms", "dtm0", "fis", service],
            };
            let service = |(name, key)| Service {
                name,
                key,
                sdevs: Vec::new(),
            };
            let services = names.into_iter().zip(&mut services).map(service).collect();
            layouts.push(ProcessLayout {
                process,
                key,
                services,
            });
        }
        nodes.push(NodeLayout {
            node,
            key,
            processes: layouts,
        });
    }
    for process in nodes.iter_mut().flat_map(|node| &mut node.processes) {
        if let Kind::Ios { sdevs: paths, .. } = &process.process.kind {
            let numbered = paths.iter().map(String::as_str).zip(&mut sdevs);
            attach(&mut process.services, "ios", numbered.collect());
        }
    }
    for process in nodes.iter_mut().flat_map(|node| &mut node.processes) {
        if let Kind::Ios { meta_data, .. } = &process.process.kind {
            let path = meta_data.as_deref().unwrap_or("/dev/null");
            attach(
                &mut process.services,
                "cas",
                [path].into_iter().zip(&mut sdevs).collect(),
            );
        }
    }
    nodes
}

fn attach<'c>(services: &mut [Service<'c>], name: &str, sdevs: Vec<(&'c str, u64)>) {
    if let Some(service) = services.iter_mut().find(|service| service.name == name) {
        service.sdevs = sdevs;
    }
}
