//! From text to a checked cluster.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use super::table::{Document, Placed, Table};
use super::{
    Check, Cluster, Endpoint, Kind, NODES_MAX, Node, POOLS_MAX, PROCESSES_MAX, Process, SDEVS_MAX,
};

/// Names that stand for something else in the Consul catalog.
const SERVICES: [&str; 3] = ["hax", "confd", "ios"];

/// Reads a description; `name` is the file's in messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file, one problem each.
pub fn parse(name: &str, text: &str) -> Result<Cluster, Vec<String>> {
    let document = Document::new(name, text);
    let cluster = match document.parse() {
        Some(table) => cluster(Table::root(&document, &table)),
        None => None,
    };
    let problems = document.into_problems();
    match cluster {
        Some(cluster) if problems.is_empty() => Ok(cluster),
        _ if problems.is_empty() => Err(vec![format!("{name}: incomplete")]),
        _ => Err(problems),
    }
}

/// What has to be unique in a cluster, and where it was seen first.
#[derive(Default)]
struct Seen {
    nodes: HashMap<String, usize>,
    endpoints: HashMap<Endpoint, usize>,
    /// Node and path.
    sdevs: HashMap<(String, String), usize>,
}

fn cluster(root: Table<'_, '_>) -> Option<Cluster> {
    let profile = root
        .text("profile", label)
        .map_or_else(|| "default".to_owned(), |it| it.value);
    let pools = pools(&root);
    let consul = root.table("consul").and_then(|table| {
        let address = table.text("address", url);
        table.finish();
        address
    });
    let check = check(root.table("check"));

    let mut seen = Seen::default();
    let tables = root.tables("node");
    if tables.is_empty() {
        root.refuse(
            0,
            "node",
            "required, but not given: a cluster has at least one [[node]]",
        );
    } else if tables.len() > NODES_MAX {
        root.refuse(
            tables[NODES_MAX].at,
            "node",
            format!("{NODES_MAX} nodes are the most"),
        );
    }
    let given = tables.len();
    let nodes: Vec<Node> = tables
        .into_iter()
        .filter_map(|table| node(table, &mut seen))
        .collect();
    let confds = nodes
        .iter()
        .flat_map(|node| &node.processes)
        .filter(|p| p.kind == Kind::Confd);
    // With a node in error it may be that node that has the confd.
    if given > 0 && nodes.len() == given && confds.count() == 0 {
        root.refuse(
            0,
            "node",
            "no node has a confd; Motr cannot start without one",
        );
    }
    root.finish();
    Some(Cluster {
        profile,
        pools,
        consul: consul.map_or_else(|| "http://127.0.0.1:8500".to_owned(), |it| it.value),
        check,
        nodes,
    })
}

fn pools(root: &Table<'_, '_>) -> Vec<String> {
    let given = root.texts("pools", label);
    if let Some(first_too_many) = given.get(POOLS_MAX) {
        root.refuse(
            first_too_many.at,
            "pools",
            format!("{POOLS_MAX} pools are the most"),
        );
    }
    let mut pools: Vec<String> = Vec::new();
    for Placed { value, at } in given {
        if pools.contains(&value) {
            root.refuse(at, "pools", format!("{value:?} is there already"));
        } else {
            pools.push(value);
        }
    }
    if pools.is_empty() {
        vec!["the pool".to_owned()]
    } else {
        pools
    }
}

fn check(table: Option<Table<'_, '_>>) -> Check {
    let mut check = Check {
        script: "/usr/libexec/hax/health-check.sh".to_owned(),
        interval: "5s".to_owned(),
        timeout: "5s".to_owned(),
    };
    if let Some(table) = table {
        if let Some(script) = table.text("script", path) {
            check.script = script.value;
        }
        if let Some(interval) = table.text("interval", duration) {
            check.interval = interval.value;
        }
        if let Some(timeout) = table.text("timeout", duration) {
            check.timeout = timeout.value;
        }
        table.finish();
    }
    check
}

fn node(table: Table<'_, '_>, seen: &mut Seen) -> Option<Node> {
    let name = table.required_text("name", node_name);
    if let Some(name) = &name {
        unique(&table, "name", &mut seen.nodes, name);
    }
    let address = table.required_text("address", |text| {
        text.parse()
            .map_err(|_| format!("{text:.100?} is no IP address"))
    });
    let host = address.as_ref().map(|address| address.value);

    let mut processes = Vec::new();
    let mut complete = true;
    let mut add = |process: Option<Process>| match process {
        Some(process) => processes.push(process),
        None => complete = false,
    };
    add(table.required_table("hax").and_then(|hax| {
        let http = hax.port("http").map_or(8008, |http| http.value);
        process(hax, host, Kind::Hax { http }, seen)
    }));
    if let Some(confd) = table.table("confd") {
        add(process(confd, host, Kind::Confd, seen));
    }
    for ios in bounded(&table, "ios") {
        let sdevs = sdevs(&ios, name.as_ref(), seen);
        let log = ios.text("log", path).map(|log| log.value);
        let meta_data = ios.text("meta_data", path).map(|path| path.value);
        add(process(
            ios,
            host,
            Kind::Ios {
                sdevs,
                log,
                meta_data,
            },
            seen,
        ));
    }
    for client in bounded(&table, "client") {
        let service = client.text("type", client_type);
        let service = service.map_or_else(|| "m0_client_other".to_owned(), |it| it.value);
        add(process(client, host, Kind::Client { service }, seen));
    }
    table.finish();
    let (name, address) = (name?.value, host?);
    complete.then_some(Node {
        name,
        address,
        processes,
    })
}

fn bounded<'d, 'a>(table: &Table<'d, 'a>, key: &'static str) -> Vec<Table<'d, 'a>> {
    let tables = table.tables(key);
    if let Some(first_too_many) = tables.get(PROCESSES_MAX) {
        table.refuse(
            first_too_many.at,
            key,
            format!("{PROCESSES_MAX} of a node are the most"),
        );
    }
    tables
}

fn process(
    table: Table<'_, '_>,
    host: Option<IpAddr>,
    kind: Kind,
    seen: &mut Seen,
) -> Option<Process> {
    let endpoint = table.required_text_or_port("endpoint", "an endpoint or a port", |given| {
        match given {
            Ok(text) => text.parse(),
            // Without an address, which has been reported, any host will do.
            Err(port) => Ok(Endpoint::libfab(
                host.unwrap_or(IpAddr::from([0, 0, 0, 0])),
                port,
            )),
        }
    });
    let pattern = table.text("pattern", pattern).map(|pattern| pattern.value);
    // Where the address is unknown, ports of several nodes would seem to clash.
    if let (Some(endpoint), Some(_)) = (&endpoint, host) {
        unique(&table, "endpoint", &mut seen.endpoints, endpoint);
    }
    table.finish();
    Some(Process {
        kind,
        endpoint: endpoint?.value,
        pattern,
    })
}

fn sdevs(ios: &Table<'_, '_>, node: Option<&Placed<String>>, seen: &mut Seen) -> Vec<String> {
    let sdevs = ios.texts("sdevs", path);
    if sdevs.is_empty() {
        ios.refuse(ios.at, "sdevs", "an ios has at least one storage device");
    }
    if let Some(first_too_many) = sdevs.get(SDEVS_MAX) {
        ios.refuse(
            first_too_many.at,
            "sdevs",
            format!("{SDEVS_MAX} of an ios are the most"),
        );
    }
    if let Some(node) = node {
        for Placed { value, at } in &sdevs {
            let placed = Placed {
                value: (node.value.clone(), value.clone()),
                at: *at,
            };
            unique(ios, "sdevs", &mut seen.sdevs, &placed);
        }
    }
    sdevs.into_iter().map(|sdev| sdev.value).collect()
}

fn label(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned())
        .ok_or_else(|| "a name has 1 to 128 bytes and no control characters".to_owned())
}

/// The name is a segment of keys, a Consul node name and the name of a directory.
fn node_name(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fine = text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(inner);
    fine.then(|| text.to_owned()).ok_or_else(|| {
        format!("{text:.100?} is no name of a node: letters, digits, `-`, `_` and `.`, at most 63")
    })
}

fn client_type(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.is_empty() || text.len() > 63 || !text.bytes().all(inner) {
        return Err(format!(
            "{text:.100?} is no type: letters, digits, `-` and `_`, at most 63"
        ));
    }
    if SERVICES.contains(&text) {
        return Err(format!("{text:?} is no client"));
    }
    Ok(text.to_owned())
}

fn path(text: &str) -> Result<String, String> {
    let fine = text.starts_with('/') && text.len() < 4096 && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned())
        .ok_or_else(|| format!("{text:.100?} is no absolute path"))
}

fn pattern(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && text.len() < 4096 && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned())
        .ok_or_else(|| "a pattern is a line of text".to_owned())
}

fn url(text: &str) -> Result<String, String> {
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let fine = host.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"/@?#\"\\".contains(&b))
    });
    fine.then(|| text.to_owned())
        .ok_or_else(|| "is not `http://host:port` or `https://host:port`".to_owned())
}

/// Consul takes more forms; these are the ones that hax takes, too.
fn duration(text: &str) -> Result<String, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let fine = number.parse::<u32>().is_ok_and(|n| n > 0) && matches!(unit, "ms" | "s" | "m" | "h");
    fine.then(|| text.to_owned())
        .ok_or_else(|| format!("{text:.100?} is no time such as 5s or 1m"))
}

/// Refuses a value that has been seen before.
fn unique<K: Hash + Eq + Clone + Shown>(
    table: &Table<'_, '_>,
    key: &str,
    seen: &mut HashMap<K, usize>,
    found: &Placed<K>,
) {
    if let Some(first) = seen.get(&found.value) {
        let (shown, line) = (found.value.shown(), table.document.line(*first));
        table.refuse(
            found.at,
            key,
            format!("{shown} is used already, in line {line}"),
        );
    } else {
        seen.insert(found.value.clone(), found.at);
    }
}

/// How a message names a value that is used twice.
trait Shown {
    fn shown(&self) -> String;
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for Endpoint {
    fn shown(&self) -> String {
        self.to_string()
    }
}

/// A device of a node.
impl Shown for (String, String) {
    fn shown(&self) -> String {
        self.1.clone()
    }
}
