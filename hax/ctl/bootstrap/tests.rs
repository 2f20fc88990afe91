use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::ctl::{cluster, kv_file};

const DESCRIPTION: &str = include_str!("../../../tests/data/cluster-small.toml");
const KV: &str = include_str!("../../../tests/data/kv-small.json");

fn small() -> Plan {
    plan(&cluster::parse("cluster.toml", DESCRIPTION).unwrap()).unwrap()
}

fn text<'p>(plan: &'p Plan, path: &str) -> &'p str {
    let is_it = |file: &&OutFile| file.path.as_path() == std::path::Path::new(path);
    &plan.files.iter().find(is_it).unwrap().text
}

/// JSON as JSON, for spaces and the order of keys mean nothing.
fn comparable(entries: &[Entry]) -> BTreeMap<&str, Value> {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
    entries
        .iter()
        .map(|entry| (entry.key.as_str(), value(&entry.value)))
        .collect()
}

#[test]
fn the_tree_is_that_of_the_cluster_described() {
    let plan = small();
    let (mut ours, file) = (comparable(&plan.entries), kv_file::parse(KV).unwrap());
    let mut theirs = comparable(&file.entries);
    // Counters of the program that made the file; no one else reads them.
    theirs.retain(|key, _| {
        let counters = ["last_base_fid_key/", "last_dynamic_fid_key/", "bytecount/"];
        let unused = ["eq-epoch", "failvec", "m0_client_types"];
        !counters.iter().any(|prefix| key.starts_with(prefix)) && !unused.contains(key)
    });
    // There a pool per use, null if it has none.
    let profile = "m0conf/profiles/0x7000000000000001:0x0";
    assert_eq!(
        ours.remove(profile).unwrap()["pools"][0],
        theirs.remove(profile).unwrap()["pools"][0]
    );
    assert_eq!(ours.len(), theirs.len());
    for (key, value) in theirs {
        assert_eq!(ours.get(key), Some(&value), "{key}");
    }
}

#[test]
fn a_tree_is_the_same_every_time_and_has_no_key_twice() {
    let plan = small();
    assert_eq!(plan, small());
    assert!(
        plan.entries
            .windows(2)
            .all(|pair| pair[0].key < pair[1].key)
    );
}

#[test]
fn an_agent_can_rebuild_every_endpoint() {
    let plan = small();
    let agent: Value = serde_json::from_str(text(&plan, "ssu2/consul.json")).unwrap();
    assert_eq!(agent["node_name"], "ssu2");
    assert_eq!(agent["enable_local_script_checks"], true);
    assert_eq!(agent["autopilot"]["cleanup_dead_servers"], false);
    let services = agent["services"].as_array().unwrap();
    let found: Vec<(&str, &str, String)> = services
        .iter()
        .map(|service| {
            assert_eq!(service["meta"]["transport_type"], "libfab");
            let address = service["address"].as_str().unwrap();
            let endpoint = format!("{address}@{}", service["port"]);
            (
                service["id"].as_str().unwrap(),
                service["name"].as_str().unwrap(),
                endpoint,
            )
        })
        .collect();
    let endpoints = comparable(&plan.entries);
    let wanted = ["hax", "confd", "ios", "m0_client_other", "m0_client_other"];
    assert_eq!(
        found.iter().map(|(_, name, _)| *name).collect::<Vec<_>>(),
        wanted
    );
    for (id, _, endpoint) in found {
        let key = format!("m0conf/nodes/ssu2/processes/{id}/endpoint");
        assert_eq!(endpoints[key.as_str()], endpoint);
    }
}

#[test]
fn every_process_has_its_script_check_and_hax_an_http_check() {
    let plan = small();
    let agent: Value = serde_json::from_str(text(&plan, "ssu1/consul.json")).unwrap();
    let services = agent["services"].as_array().unwrap();
    let patterns: Vec<&str> = services
        .iter()
        .map(|service| {
            let check = &service["checks"][0];
            assert_eq!(
                (&check["interval"], &check["timeout"]),
                (&"5s".into(), &"4s".into())
            );
            assert_eq!(check["args"][0], "/opt/hax/health-check.sh");
            check["args"][2].as_str().unwrap()
        })
        .collect();
    let wanted = [
        "^([^ ]*/)?hax run( |$)",
        "^([^ ]*/)?(lt-)?m0d .*<(0x)?7200000000000001:(0x)?1>",
        "^([^ ]*/)?(lt-)?m0d .*<(0x)?7200000000000001:(0x)?2>",
        "<(0x)?7200000000000001:(0x)?3>",
        "my-client --verbose",
    ];
    assert_eq!(patterns, wanted);
    assert_eq!(
        services[2]["checks"][0]["args"][1],
        "0x7200000000000001:0x2"
    );
    assert_eq!(services[0]["checks"][1]["http"], "http://127.0.0.1:8008/");
    assert_eq!(services[1]["checks"].as_array().unwrap().len(), 1);
}

#[test]
fn watches_reach_the_bridge_of_the_node() {
    let plan = small();
    let agent: Value = serde_json::from_str(text(&plan, "ssu3/consul.json")).unwrap();
    let watches = agent["watches"].as_array().unwrap();
    let found: Vec<(&str, &str, &str)> = watches
        .iter()
        .map(|watch| {
            assert_eq!(watch["handler_type"], "http");
            let handler = &watch["http_handler_config"];
            assert_eq!(
                (&handler["method"], &handler["timeout"]),
                (&"POST".into(), &"10s".into())
            );
            let what = watch["service"]
                .as_str()
                .or(watch["state"].as_str())
                .unwrap_or_default();
            (
                watch["type"].as_str().unwrap(),
                what,
                handler["path"].as_str().unwrap(),
            )
        })
        .collect();
    let wanted = [
        ("service", "hax", "http://127.0.0.1:8008/"),
        ("service", "confd", "http://127.0.0.1:8008/"),
        ("service", "ios", "http://127.0.0.1:8008/"),
        ("service", "m0_client_other", "http://127.0.0.1:8008/"),
        ("checks", "critical", "http://127.0.0.1:8008/watch/checks"),
        ("nodes", "", "http://127.0.0.1:8008/watch/nodes"),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn the_settings_name_the_bridge_of_the_node() {
    let plan = small();
    let wanted = r#"[node]
name = "ssu2"

[ha]
endpoint = "inet:tcp:192.52.44.216@22001"
process = "0x7200000000000001:0x5"
ha_service = "0x7300000000000001:0x18"
rm_service = "0x7300000000000001:0x19"
on_fatal_message = "isolate"

[entrypoint]
timeout = "2s"

[consul]
address = "http://127.0.0.1:8500"
timeout = "5s"
connect_timeout = "1s"

[http]
listen = "127.0.0.1:8008"
body_limit = "16MiB"

[leader]
elect = true
lock_delay = "2s"

[kv]
process_alias = true

[log]
format = "text"
level = "info"
"#;
    assert_eq!(text(&plan, "ssu2/hax.toml"), wanted);
}

#[test]
fn a_node_added_at_the_end_changes_no_fid_but_those_of_metadata_devices() {
    let added = format!(
        "{DESCRIPTION}\n[[node]]\nname = \"ssu4\"\naddress = \"192.57.12.150\"\nhax.endpoint = 22001\n"
    );
    let more = plan(&cluster::parse("cluster.toml", &added).unwrap()).unwrap();
    let (before, after) = (small(), comparable(&more.entries));
    for (key, value) in comparable(&before.entries) {
        assert_eq!(after.get(key), Some(&value), "{key}");
    }
}
