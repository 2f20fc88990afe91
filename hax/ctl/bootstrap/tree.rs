//! The KV pairs of a described cluster (rfc/4-kv.md).

use halink::{FidType, HaState};
use serde_json::{Value, json};

use super::layout::{NodeLayout, ProcessLayout, fid};
use crate::ctl::cluster::{Cluster, Kind};
use crate::ctl::entry::{Entry, Policy};

/// Every pair, in the order of the keys.
pub(super) fn tree(cluster: &Cluster, nodes: &[NodeLayout<'_>]) -> Vec<Entry> {
    let mut tree = Tree::default();
    tree.add("epoch".to_owned(), "1".to_owned(), Policy::Initial);
    tree.add("leader".to_owned(), String::new(), Policy::Initial);
    tree.pools(cluster);
    let rack = format!(
        "m0conf/sites/{}/racks/{}",
        fid(FidType::Site, 0),
        fid(FidType::Rack, 0)
    );
    tree.object(format!("m0conf/sites/{}", fid(FidType::Site, 0)), json!({}));
    tree.object(rack.clone(), json!({}));
    for node in nodes {
        tree.by_name(node);
        tree.by_fid(node);
        tree.hardware(&rack, node);
    }
    tree.entries.sort_by(|a, b| a.key.cmp(&b.key));
    tree.entries
}

#[derive(Default)]
struct Tree {
    entries: Vec<Entry>,
}

impl Tree {
    fn add(&mut self, key: String, value: String, policy: Policy) {
        self.entries.push(Entry { key, value, policy });
    }

    fn configured(&mut self, key: String, value: &Value) {
        self.add(key, value.to_string(), Policy::Configured);
    }

    /// An object whose state the running cluster changes.
    fn object(&mut self, key: String, mut value: Value) {
        value["state"] = HaState::Unknown.as_str().into();
        self.configured(key, &value);
    }

    fn pools(&mut self, cluster: &Cluster) {
        for (name, key) in cluster.pools.iter().zip(0..) {
            let key = format!("m0conf/pools/{}", fid(FidType::Pool, key));
            self.add(key, name.clone(), Policy::Exact);
        }
        let key = format!("m0conf/profiles/{}", fid(FidType::Profile, 0));
        self.configured(
            key,
            &json!({ "name": cluster.profile, "pools": cluster.pools }),
        );
    }

    /// What is looked up by the name of the node: endpoints, devices, numbers of services.
    fn by_name(&mut self, layout: &NodeLayout<'_>) {
        let name = &layout.node.name;
        for process in &layout.processes {
            let base = format!("m0conf/nodes/{name}/processes/{}", process.key);
            let endpoint = process.process.endpoint.to_string();
            self.add(format!("{base}/endpoint"), endpoint, Policy::Exact);
            for service in &process.services {
                let key = format!("{base}/services/{}", service.name);
                self.add(key, service.key.to_string(), Policy::Exact);
            }
            match &process.process.kind {
                Kind::Hax { http } => {
                    self.configured(format!("ports/{name}/hax"), &json!({ "http": http }));
                }
                Kind::Ios { log, meta_data, .. } => {
                    if let Some(path) = log {
                        let log = json!({ "path": path, "size": 0 });
                        self.configured(format!("{base}/log"), &log);
                    }
                    if let Some(path) = meta_data {
                        self.add(format!("{base}/meta_data"), path.clone(), Policy::Exact);
                    }
                }
                Kind::Confd | Kind::Client { .. } => {}
            }
        }
    }

    /// The states of the node, its processes, services and storage devices.
    fn by_fid(&mut self, layout: &NodeLayout<'_>) {
        let node = format!("m0conf/nodes/{}", fid(FidType::Node, layout.key));
        self.object(node.clone(), json!({ "name": layout.node.name }));
        for process in &layout.processes {
            let name = process_name(process);
            let base = format!("{node}/processes/{}", process.fid());
            self.object(base.clone(), json!({ "name": name }));
            for service in &process.services {
                // A client's own name is not a Motr service.
                if service.name == name {
                    continue;
                }
                let base = format!("{base}/services/{}", fid(FidType::Service, service.key));
                self.object(base.clone(), json!({ "name": service.name }));
                for (path, key) in &service.sdevs {
                    let sdev = format!("{base}/sdevs/{}", fid(FidType::Sdev, *key));
                    self.object(sdev, json!({ "path": path }));
                }
            }
        }
    }

    /// The node's enclosure with its controller and drives.
    fn hardware(&mut self, rack: &str, layout: &NodeLayout<'_>) {
        let node = fid(FidType::Node, layout.key);
        let enclosure = format!("{rack}/encls/{}", fid(FidType::Enclosure, layout.key));
        self.object(enclosure.clone(), json!({ "node": node }));
        let controller = format!("{enclosure}/ctrls/{}", fid(FidType::Controller, layout.key));
        self.object(controller.clone(), json!({}));
        let services = layout
            .processes
            .iter()
            .flat_map(|process| &process.services);
        for (_, key) in services.flat_map(|service| &service.sdevs) {
            let drive = format!("{controller}/drives/{}", fid(FidType::Drive, *key));
            self.object(drive, json!({ "sdev": fid(FidType::Sdev, *key) }));
        }
    }
}

/// The name of a process's object.
fn process_name<'c>(layout: &ProcessLayout<'c>) -> &'c str {
    match &layout.process.kind {
        Kind::Confd | Kind::Ios { .. } => "m0_server",
        Kind::Hax { .. } => "hax",
        Kind::Client { service } => service,
    }
}
