//! The report: everything that is wrong, where, and what may have been meant.

use super::{MINIMAL, parse, report};

#[test]
fn an_empty_file_names_every_required_key() {
    assert_eq!(
        parse("").unwrap_err(),
        "hax.toml:1:1: node.name: required, but not given; it is at most 255 bytes, printable, no space, no `/`\n\
         hax.toml:1:1: ha.endpoint: required, but not given; it is `unix:/path`, `inet:tcp:IP@PORT` or another Motr endpoint, at most 255 bytes\n\
         hax.toml:1:1: ha.process: required, but not given; it is a fid of type process (0x72…)\n\
         hax.toml:1:1: ha.ha_service: required, but not given; it is a fid of type service (0x73…)\n\
         hax.toml:1:1: ha.rm_service: required, but not given; it is a fid of type service (0x73…)"
    );
}

#[test]
fn everything_wrong_is_reported_at_once_in_the_order_of_the_file() {
    let text = "\
[node]
nmae = \"ssu1\"
[ha]
endpoint = \"unix:ha.sock\"
process = \"0x7300000000000001:0x0\"
ha_service = \"7300\"
rm_service = 5
[http]
listen = \"0.0.0.0:8008\"
body_limit = \"16MB\"
[entrypiont]
timeout = \"1s\"
[retry]
min = \"10s\"
";
    assert_eq!(
        parse(text).unwrap_err(),
        "hax.toml:1:2: node.name: required, but not given; it is at most 255 bytes, printable, no space, no `/`\n\
         hax.toml:2:1: node.nmae: unknown key; did you mean node.name?\n\
         hax.toml:4:12: ha.endpoint: \"unix:ha.sock\" needs an absolute path after `unix:`\n\
         hax.toml:5:11: ha.process: \"0x7300000000000001:0x0\" is a Service; a Process is wanted (type letter 'r')\n\
         hax.toml:6:14: ha.ha_service: \"7300\" is not a fid: expected two numbers with one ':' between them\n\
         hax.toml:7:14: ha.rm_service: expected a fid such as \"0x7200000000000001:0x4\", got an integer\n\
         hax.toml:9:10: http.listen: \"0.0.0.0:8008\" is not a loopback address; the server has no authentication, so it listens on 127.0.0.0/8 or [::1] only\n\
         hax.toml:10:14: http.body_limit: \"16MB\" has an unknown unit; use B, KiB, MiB or GiB\n\
         hax.toml:11:2: [entrypiont]: unknown section; did you mean entrypoint?\n\
         hax.toml:14:7: retry.min: 10s is above retry.max, 5s"
    );
}

#[test]
fn unknown_names_are_answered_with_the_nearest_known_one() {
    for (lines, expected) in [
        (
            "[log]\nlevle = \"info\"",
            "hax.toml:9:1: log.levle: unknown key; did you mean log.level?",
        ),
        (
            "[consul]\ntoken = \"s3cret\"",
            "hax.toml:9:1: consul.token: unknown key; did you mean consul.token_file?",
        ),
        (
            "[kv]\nbody_limit = 1",
            "hax.toml:9:1: kv.body_limit: unknown key; did you mean http.body_limit?",
        ),
        (
            "[retry]\nxyzzy = 1",
            "hax.toml:9:1: retry.xyzzy: unknown key; known here: retry.min, retry.max, retry.attempt",
        ),
        (
            "[qqqq]",
            "hax.toml:8:2: [qqqq]: unknown section; known here: node, ha, entrypoint, dispatch, consul, retry, http, leader, kv, log, fence, plugins",
        ),
        (
            "[consul.tls]\nca = 1",
            "hax.toml:8:9: consul.tls: unknown key; known here: consul.address, consul.token_file, consul.ca_file, consul.cert_file, consul.key_file, consul.timeout, consul.connect_timeout, consul.datacenter",
        ),
        (
            "[log]\n\"a\\nb\" = 1",
            "hax.toml:9:1: log.a b: unknown key; known here: log.format, log.level",
        ),
    ] {
        assert_eq!(report(lines), expected);
    }
    assert_eq!(
        parse(&format!("endpoint = 1\nzzz = 2\n{MINIMAL}")).unwrap_err(),
        "hax.toml:1:1: endpoint: unknown key; did you mean ha.endpoint?\n\
         hax.toml:2:1: zzz: unknown key; known here: node, ha, entrypoint, dispatch, consul, retry, http, leader, kv, log, fence, plugins"
    );
}

#[test]
fn wrong_types_are_named() {
    for (lines, expected) in [
        (
            "[log]\nlevel = 3",
            "hax.toml:9:9: log.level: expected a string, got an integer",
        ),
        (
            "[leader]\nelect = \"yes\"",
            "hax.toml:9:9: leader.elect: expected true or false, got a string",
        ),
        (
            "[retry]\nmin = 1.5",
            "hax.toml:9:7: retry.min: expected a duration such as \"2s\", got a float",
        ),
        (
            "[http]\nbody_limit = 16",
            "hax.toml:9:14: http.body_limit: expected a size such as \"16MiB\", got an integer",
        ),
        (
            "[[log]]\nlevel = \"info\"",
            "hax.toml:8:3: log: expected a table, [log], got an array",
        ),
    ] {
        assert_eq!(report(lines), expected);
    }
    assert_eq!(
        parse(&format!(
            "node = \"ssu1\"\n{}",
            MINIMAL.replace("[node]\nname = \"ssu1\"\n", "")
        ))
        .unwrap_err(),
        "hax.toml:1:1: node: expected a table, [node], got a string"
    );
}

#[test]
fn syntax_errors_have_a_place_and_do_not_quote_the_line() {
    let report = parse("[consul]\ntoken_file = s3cret\n[ha\n").unwrap_err();
    let lines: Vec<_> = report.lines().collect();
    assert!(
        lines[0].starts_with("hax.toml:2:14: not valid TOML: "),
        "{report}"
    );
    assert!(
        lines.iter().any(|line| line.starts_with("hax.toml:3:")),
        "{report}"
    );
    assert!(!report.contains("s3cret"), "{report}");
    let twice = parse(&format!("{MINIMAL}process = 1\n")).unwrap_err();
    assert_eq!(twice, "hax.toml:8:1: not valid TOML: duplicate key");
}

#[test]
fn many_errors_are_counted_not_listed() {
    let keys: String = (0..250).map(|nr| format!("k{nr} = 0\n")).collect();
    let report = report(&format!("[kv]\n{keys}"));
    assert_eq!(report.lines().count(), 101);
    assert!(report.ends_with("… and 150 more"), "{report}");
}
