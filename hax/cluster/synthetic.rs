//! Configuration trees of any size, for benchmarks and tests: the keys that Hare writes for a
//! cluster of uniform nodes.

/// Objects of a node beside its drives and sdevs.
const NODE_OBJECTS: usize = 13;
/// Drives of a node at most.
const DRIVES_MAX: usize = 480;

/// Services of a process, by the name of the process's kind.
const PROCESSES: [&[&str]; 3] = [&["ha", "rms"], &["rms", "confd"], &["rms", "ios", "cas"]];

/// Keys and values of a tree with about this many objects below `m0conf/`. The same number gives
/// the same tree; every drive and its sdev are a pair, `0x6b00000000000001:<n>` and
/// `0x6400000000000001:<n>` from 0 on.
pub fn tree(objects: usize) -> Vec<(String, String)> {
    let per_node = NODE_OBJECTS + 2 * DRIVES_MAX;
    let nodes = objects.div_ceil(per_node).max(1);
    let drives = (objects / nodes).saturating_sub(NODE_OBJECTS) / 2;
    let mut pairs = Vec::with_capacity(2 * objects);
    for node in 0..nodes {
        add_node(&mut pairs, node, drives);
    }
    pairs
}

fn add_node(pairs: &mut Vec<(String, String)>, node: usize, drives: usize) {
    let name = format!("node{node}");
    let node_key = format!("m0conf/nodes/0x6e00000000000001:0x{node:x}");
    let mut put = |key: String, value: String| pairs.push((key, value));
    let named = |name: &str| format!(r#"{{"name": "{name}", "state": "M0_NC_UNKNOWN"}}"#);
    put(node_key.clone(), named(&name));
    let mut service = node
        * PROCESSES
            .iter()
            .map(|services| services.len())
            .sum::<usize>();
    let mut last_service = String::new();
    for (n, services) in PROCESSES.iter().enumerate() {
        let process = node * PROCESSES.len() + n;
        let process_key = format!("{node_key}/processes/0x7200000000000001:0x{process:x}");
        let by_name = format!("m0conf/nodes/{name}/processes/{process}");
        put(process_key.clone(), named("m0_server"));
        let endpoint = format!("inet:tcp:127.0.0.1@{}", 21_000 + n);
        put(format!("{by_name}/endpoint"), endpoint);
        for kind in *services {
            last_service = format!("{process_key}/services/0x7300000000000001:0x{service:x}");
            put(last_service.clone(), named(kind));
            put(format!("{by_name}/services/{kind}"), service.to_string());
            service += 1;
        }
    }
    let rack = "m0conf/sites/0x5300000000000001:0x0/racks/0x6100000000000001:0x0";
    let enclosure = format!("{rack}/encls/0x6500000000000001:0x{node:x}");
    let controller = format!("{enclosure}/ctrls/0x6300000000000001:0x{node:x}");
    let stateful = || r#"{"state": "M0_NC_UNKNOWN"}"#.to_owned();
    put(enclosure, stateful());
    put(controller.clone(), stateful());
    for drive in node * drives..(node + 1) * drives {
        let sdev = format!("0x6400000000000001:0x{drive:x}");
        let path = format!(r#"{{"path": "/dev/d{drive}", "state": "M0_NC_UNKNOWN"}}"#);
        put(format!("{last_service}/sdevs/{sdev}"), path);
        let value = format!(r#"{{"sdev": "{sdev}", "state": "M0_NC_UNKNOWN"}}"#);
        let drive_key = format!("{controller}/drives/0x6b00000000000001:0x{drive:x}");
        put(drive_key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ConfTree;

    #[test]
    fn a_tree_has_about_the_objects_that_are_wanted() {
        for wanted in [1_000, 100_000] {
            let pairs = tree(wanted);
            let pairs = pairs
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_bytes()));
            let objects = ConfTree::parse(pairs).len();
            assert!(objects.abs_diff(wanted) * 100 < wanted, "{objects}");
        }
    }
}
