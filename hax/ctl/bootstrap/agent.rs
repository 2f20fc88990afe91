//! What a node's Consul agent has to know: services, their checks, watches.
//!
//! Consul: Agent configuration, "Services", "Checks" and "Watches".

use halink::Fid;
use serde_json::{Value, json};

use super::layout::{NodeLayout, ProcessLayout};
use crate::ctl::cluster::{Check, Cluster, Kind};

/// How long the bridge may take to answer a watch.
const HANDLER_TIMEOUT: &str = "10s";

/// The agent's configuration file.
pub(super) fn agent(cluster: &Cluster, layout: &NodeLayout<'_>) -> Value {
    let services = layout
        .processes
        .iter()
        .map(|process| service(&cluster.check, process));
    let http = layout
        .processes
        .iter()
        .find_map(|process| match process.process.kind {
            Kind::Hax { http } => Some(http),
            _ => None,
        });
    json!({
        "node_name": layout.node.name,
        "enable_local_script_checks": true,
        // A server that has failed has to stay in the catalog: its node is lost, not gone.
        "autopilot": { "cleanup_dead_servers": false },
        "services": services.collect::<Vec<_>>(),
        "watches": http.map_or_else(Vec::new, |port| watches(cluster, port)),
    })
}

/// A process as a service: its ID is the key of its fid in decimal, and address, port
/// and transport type make up its endpoint.
fn service(check: &Check, layout: &ProcessLayout<'_>) -> Value {
    let process = layout.process;
    let (id, name) = (layout.key.to_string(), process.kind.service());
    let mut checks = vec![json!({
        "id": format!("service:{id}:process"),
        "name": format!("Process of {name} {id}"),
        "args": [check.script, layout.fid(), pattern(layout)],
        "interval": check.interval,
        "timeout": check.timeout,
    })];
    if let Kind::Hax { http } = process.kind {
        checks.push(json!({
            "id": format!("service:{id}:http"),
            "name": format!("HTTP server of {name} {id}"),
            "http": url(http, "/"),
            "method": "GET",
            "interval": check.interval,
            "timeout": check.timeout,
        }));
    }
    json!({
        "id": id,
        "name": name,
        "address": process.endpoint.address(),
        "port": process.endpoint.port(),
        "meta": { "transport_type": process.endpoint.transport().as_str() },
        "checks": checks,
    })
}

/// The expression by which `health-check.sh` finds the process.
fn pattern(layout: &ProcessLayout<'_>) -> String {
    if let Some(pattern) = &layout.process.pattern {
        return pattern.clone();
    }
    match layout.process.kind {
        // Anchored: a path such as /etc/hax is on many a command line.
        Kind::Hax { .. } => "^([^ ]*/)?hax run( |$)".to_owned(),
        Kind::Confd | Kind::Ios { .. } => {
            format!("^([^ ]*/)?(lt-)?m0d .*{}", argument(layout.fid()))
        }
        Kind::Client { .. } => argument(layout.fid()),
    }
}

/// A fid as it stands on command lines of Motr, with or without 0x.
fn argument(fid: Fid) -> String {
    format!("<(0x)?{:x}:(0x)?{:x}>", fid.container(), fid.key())
}

/// The watches by which the bridge hears of every node's services, of checks and of the
/// catalog's nodes.
fn watches(cluster: &Cluster, port: u16) -> Vec<Value> {
    let mut names = vec!["hax", "confd", "ios"];
    for process in cluster.nodes.iter().flat_map(|node| &node.processes) {
        if !names.contains(&process.kind.service()) {
            names.push(process.kind.service());
        }
    }
    let watch = |mut watch: Value, path| {
        watch["handler_type"] = "http".into();
        watch["http_handler_config"] =
            json!({ "path": url(port, path), "method": "POST", "timeout": HANDLER_TIMEOUT });
        watch
    };
    let services = names
        .iter()
        .map(|name| watch(json!({ "type": "service", "service": name }), "/"));
    let mut watches: Vec<Value> = services.collect();
    watches.push(watch(
        json!({ "type": "checks", "state": "critical" }),
        "/watch/checks",
    ));
    watches.push(watch(json!({ "type": "nodes" }), "/watch/nodes"));
    watches
}

fn url(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}")
}
