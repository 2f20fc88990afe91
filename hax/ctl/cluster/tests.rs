use super::*;

const NODE: &str = "[[node]]\nname = \"a\"\naddress = \"127.0.0.1\"\nhax.endpoint = 22001\nconfd.endpoint = 22101\n";

fn problems(text: &str) -> Vec<String> {
    parse("c.toml", text).unwrap_err()
}

#[test]
fn little_is_enough() {
    let cluster = parse("c.toml", NODE).unwrap();
    assert_eq!(cluster.profile, "default");
    assert_eq!(cluster.pools, ["the pool"]);
    assert_eq!(cluster.consul, "http://127.0.0.1:8500");
    let [hax, confd] = &cluster.nodes[0].processes[..] else {
        panic!()
    };
    assert_eq!(hax.kind, Kind::Hax { http: 8008 });
    assert_eq!(confd.endpoint.to_string(), "inet:tcp:127.0.0.1@22101");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_neighbour() {
    let text = "polls = []\n[[node]]\nname = \"a\"\naddress = \"127.0.0.1\"\n[node.hax]\nendpont = 1\nendpoint = 2\n[node.confd]\nendpoint = 3\ncolour = 4\n";
    let wanted = [
        "c.toml:1: polls: unknown key; did you mean pools?",
        "c.toml:6: node[1].hax.endpont: unknown key; did you mean endpoint?",
        "c.toml:10: node[1].confd.colour: unknown key; known here: endpoint, pattern",
    ];
    assert_eq!(problems(text), wanted);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = r#"
profile = ""
[consul]
address = "127.0.0.1:8500"
[check]
script = "health-check.sh"
interval = "5"
[[node]]
name = "a/b"
address = "nowhere"
hax.endpoint = "unix:/run/hax"
confd.endpoint = 70000
[[node]]
name = 5
hax = "yes"
ios = [{ endpoint = 1, log = "x" }, 3]
client = [{ type = "ios", endpoint = 2, pattern = "" }]
"#;
    let wanted = [
        "2: profile: a name has 1 to 128 bytes and no control characters",
        "4: consul.address: is not `http://host:port` or `https://host:port`",
        "6: check.script: \"health-check.sh\" is no absolute path",
        "7: check.interval: \"5\" is no time such as 5s or 1m",
        "9: node[1].name: \"a/b\" is no name of a node: letters, digits, `-`, `_` and `.`, at most 63",
        "10: node[1].address: \"nowhere\" is no IP address",
        "11: node[1].hax.endpoint: \"unix:/run/hax\" is no endpoint: inet:tcp:IP@PORT (libfabric), inet:stream:IP@PORT (sock) or IP@tcp:12345:PORTAL:TMID (lnet), with a last number from 1 to 65535",
        "12: node[1].confd.endpoint: a port is a number from 1 to 65535",
        "13: node[2].address: required, but not given",
        "14: node[2].name: a string is wanted here, not a value of type integer",
        "15: node[2].hax: a table is wanted here, not a value of type string",
        "16: node[2].ios[1].sdevs: an ios has at least one storage device",
        "16: node[2].ios[1].log: \"x\" is no absolute path",
        "16: node[2].ios: a table is wanted here, not a value of type integer",
        "17: node[2].client[1].type: \"ios\" is no client",
        "17: node[2].client[1].pattern: a pattern is a line of text",
    ];
    let found = problems(text);
    let found: Vec<&str> = found
        .iter()
        .map(|p| p.strip_prefix("c.toml:").unwrap())
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn names_endpoints_and_devices_are_used_once() {
    let text = format!(
        "{NODE}ios = [{{ endpoint = 22101, sdevs = [\"/dev/a\", \"/dev/a\"] }}]\n\
         [[node]]\nname = \"a\"\naddress = \"127.0.0.1\"\nhax.endpoint = \"inet:tcp:127.0.0.1@22001\"\n"
    );
    let wanted = [
        "c.toml:6: node[1].ios[1].endpoint: inet:tcp:127.0.0.1@22101 is used already, in line 5",
        "c.toml:6: node[1].ios[1].sdevs: /dev/a is used already, in line 6",
        "c.toml:8: node[2].name: a is used already, in line 2",
        "c.toml:10: node[2].hax.endpoint: inet:tcp:127.0.0.1@22001 is used already, in line 4",
    ];
    assert_eq!(problems(&text), wanted);
}

#[test]
fn a_cluster_has_a_node_and_a_confd_and_a_node_has_hax() {
    assert!(problems("")[0].contains("at least one [[node]]"));
    let no_confd = "[[node]]\nname = \"a\"\naddress = \"127.0.0.1\"\nhax.endpoint = 22001\n";
    assert_eq!(
        problems(no_confd),
        ["c.toml:1: node: no node has a confd; Motr cannot start without one"]
    );
    let no_hax = "[[node]]\nname = \"a\"\naddress = \"127.0.0.1\"\nconfd.endpoint = 22001\n";
    assert_eq!(
        problems(no_hax),
        ["c.toml:1: node[1].hax: required, but not given"]
    );
}

#[test]
fn there_are_limits() {
    let nodes: String = (0..=NODES_MAX)
        .map(|n| {
            let [high, low] = (n as u16).to_be_bytes();
            format!("[[node]]\nname = \"n{n}\"\naddress = \"10.1.{high}.{low}\"\nhax.endpoint = 1\nconfd.endpoint = 2\n")
        })
        .collect();
    let found = problems(&nodes);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("1024 nodes are the most"), "{found:?}");
    let clients: String = (0..=PROCESSES_MAX)
        .map(|n| format!("[[node.client]]\nendpoint = {}\n", 30000 + n))
        .collect();
    let found = problems(&format!("{NODE}{clients}"));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("node[1].client: 64 of a node are the most"),
        "{found:?}"
    );
}

#[test]
fn errors_of_syntax_come_alone_and_with_their_line() {
    let found = problems("profile = \"a\"\npools = [\nbad key = 1\n");
    assert!(!found.is_empty());
    assert!(
        found.iter().all(|problem| problem.starts_with("c.toml:")),
        "{found:?}"
    );
}
