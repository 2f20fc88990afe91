//! The `hax.toml` of a node.

use halink::FidType;
use serde::Serialize;

use super::layout::{NodeLayout, fid};
use crate::ctl::cluster::{Cluster, Kind};

/// The text of the file; `None` for a node without hax, which no description gives.
pub(super) fn settings(cluster: &Cluster, layout: &NodeLayout<'_>) -> Option<String> {
    let (hax, port) = layout
        .processes
        .iter()
        .find_map(|process| match process.process.kind {
            Kind::Hax { http } => Some((process, http)),
            _ => None,
        })?;
    let service = |name| {
        let service = hax.services.iter().find(|service| service.name == name)?;
        Some(fid(FidType::Service, service.key).to_string())
    };
    let settings = Settings {
        node: Node {
            name: &layout.node.name,
        },
        ha: Ha {
            endpoint: hax.process.endpoint.to_string(),
            process: hax.fid().to_string(),
            ha_service: service("ha")?,
            rm_service: service("rms")?,
            on_fatal_message: "isolate",
        },
        entrypoint: Entrypoint { timeout: "2s" },
        consul: Consul {
            address: &cluster.consul,
            timeout: "5s",
            connect_timeout: "1s",
        },
        http: Http {
            listen: format!("127.0.0.1:{port}"),
            body_limit: "16MiB",
        },
        leader: Leader {
            elect: true,
            lock_delay: "2s",
        },
        kv: Kv {
            process_alias: true,
        },
        log: Log {
            format: "text",
            level: "info",
        },
    };
    toml::to_string(&settings).ok()
}

/// The keys in the order in which they are written.
#[derive(Serialize)]
struct Settings<'a> {
    node: Node<'a>,
    ha: Ha,
    entrypoint: Entrypoint,
    consul: Consul<'a>,
    http: Http,
    leader: Leader,
    kv: Kv,
    log: Log,
}

#[derive(Serialize)]
struct Node<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Ha {
    endpoint: String,
    process: String,
    ha_service: String,
    rm_service: String,
    on_fatal_message: &'static str,
}

#[derive(Serialize)]
struct Entrypoint {
    timeout: &'static str,
}

#[derive(Serialize)]
struct Consul<'a> {
    address: &'a str,
    timeout: &'static str,
    connect_timeout: &'static str,
}

#[derive(Serialize)]
struct Http {
    listen: String,
    body_limit: &'static str,
}

#[derive(Serialize)]
struct Leader {
    elect: bool,
    lock_delay: &'static str,
}

#[derive(Serialize)]
struct Kv {
    process_alias: bool,
}

#[derive(Serialize)]
struct Log {
    format: &'static str,
    level: &'static str,
}
