//! What is refused of `[[fence.device]]`, and in which words.

use super::report;

/// What is said of a device, without place and label.
fn device(kind: &str, lines: &str) -> String {
    let said = report(&format!(
        "[[fence.device]]\nname = \"d\"\ntype = \"{kind}\"\n{lines}\n"
    ));
    let strip = |line: &str| {
        let (_, tail) = line.split_once("fence.device[d].").unwrap_or(("", line));
        tail.to_owned()
    };
    said.lines().map(strip).collect::<Vec<_>>().join("\n")
}

const AGENT: &str = "agent = \"fence_x\"\nhosts = [\"n1\"]\n";

fn agent(lines: &str) -> String {
    device("agent", &format!("{AGENT}{lines}"))
}

#[test]
fn the_place_is_told() {
    assert_eq!(
        report(
            "[[fence.device]]\nname = \"d\"\ntype = \"agent\"\nagent = \"fence_x\"\nhosts = [\"n1\"]\noff_timeout = \"-3\""
        ),
        "6:15: fence.device[d].off_timeout: \"-3\" does not start with a whole number"
    );
    assert_eq!(
        report("[[fence.device]]\ntype = \"process\""),
        "1:1: fence.device[#1].name: required, but not given; it is letters, digits, `.`, `_` and `-`, at most 64; unique"
    );
    assert_eq!(
        report("[[fence.device]]\nname = \"../d\"\ntype = \"process\""),
        "2:8: fence.device[#1].name: \"../d\" is not the name of a device: letters, digits, `.`, `_` and `-` only"
    );
    assert_eq!(
        report(
            "[[fence.device]]\nname = \"d\"\ntype = \"process\"\n[[fence.device]]\nname = \"d\"\ntype = \"process\""
        ),
        "5:8: fence.device[d].name: there is another device of the name d"
    );
}

#[test]
fn names_are_strict_in_every_table() {
    assert_eq!(
        agent("off_timout = \"3s\""),
        "off_timout: unknown key; did you mean fence.device.off_timeout?"
    );
}

#[test]
fn numbers_and_timeouts_have_ranges() {
    for (lines, expected) in [
        (
            "off_timeout = \"0s\"",
            "off_timeout: \"0s\" is out of range, 1s to 1h",
        ),
        (
            "off_timeout = -3",
            "off_timeout: expected a duration such as \"2s\", got an integer",
        ),
        (
            "monitor_timeout = \"2h\"",
            "monitor_timeout: \"2h\" is out of range, 1s to 1h",
        ),
        ("retries = 6", "retries: 6 is out of range, 0 to 5"),
        ("retries = -1", "retries: -1 is out of range, 0 to 5"),
        ("concurrency = 0", "concurrency: 0 is out of range, 1 to 16"),
        (
            "delay = \"11m\"",
            "delay: \"11m\" is out of range, 0s to 10m",
        ),
        (
            "delays = { n1 = 5 }",
            "delays.n1: is not a duration such as \"5s\"",
        ),
        (
            "delays = { n1 = \"1h\" }",
            "delays.n1: \"1h\" is out of range, 0s to 10m",
        ),
        (
            "delays = { n2 = \"5s\" }",
            "delays.n2: the device does not fence this node",
        ),
        ("delays = \"5s\"", "delays: expected a table, got a string"),
        (
            "peers = []",
            "peers: names no node; leave the key out if all can use it",
        ),
        ("peers = [\"n1\", \"n1\"]", "peers: n1 is named twice"),
        (
            "peers = [\"a/b\"]",
            "peers: \"a/b\" is not the name of a node: letters, digits, `.`, `_` and `-` only",
        ),
        (
            "unfence = \"yes\"",
            "unfence: \"yes\" is not one of metadata, never, automatic, on-target",
        ),
    ] {
        assert_eq!(agent(lines), expected);
    }
}

#[test]
fn hosts_are_said_once_and_make_sense() {
    let x = |lines: &str| device("agent", &format!("agent = \"fence_x\"\n{lines}"));
    for (lines, expected) in [
        (
            "host_check = \"staitc\"",
            "host_check: \"staitc\" is not one of static, dynamic, status, none",
        ),
        (
            "host_check = \"static\"",
            "host_check: static, but neither hosts nor ports name a node that it can fence",
        ),
        (
            "hosts = []",
            "hosts: static, but neither hosts nor ports name a node that it can fence",
        ),
        ("hosts = [\"n1\", \"n1\"]", "hosts: n1 is named twice"),
        (
            "hosts = [\"n1\"]\nhost_check = \"none\"",
            "hosts: counts only with host_check = \"static\"",
        ),
        (
            "host_list = \"n1\"\nhost_check = \"dynamic\"",
            "host_list: counts only with host_check = \"static\"",
        ),
        (
            "hosts = [\"n1\"]\nhost_list = \"n1\"",
            "host_list: says the same as hosts; give one of them",
        ),
        (
            "ports = { n1 = 1 }\nhost_map = \"n1:1\"",
            "host_map: says the same as ports; give one of them",
        ),
        ("host_list = \" ; \"", "host_list: names no node"),
        (
            "host_list = \"n1 n/2\"",
            "host_list: \"n/2\" is not the name of a node: letters, digits, `.`, `_` and `-` only",
        ),
        ("host_map = \"\"", "host_map: names no node"),
        ("host_map = \"n1\"", "host_map: \"n1\" is not `node:port`"),
        ("host_map = \"n1:\"", "host_map: \"n1:\": the port is empty"),
        ("host_map = \":1\"", "host_map: the name of a node is empty"),
        (
            "host_map = \"n1:1,n2:2\"",
            "host_map: \"n1:1,n2:2\" has more than one `:`; pairs are separated by `;`, and a port with `:` belongs into ports",
        ),
        ("host_map = \"n1:1;n1:2\"", "host_map: n1 is named twice"),
        ("ports = { n1 = \"\" }", "ports.n1: the port is empty"),
        (
            "ports = { n1 = 1.5 }",
            "ports.n1: the port is not a string, and not a whole number",
        ),
        (
            "ports = { n1 = \"a\\nb\" }",
            "ports.n1: the port has a control character",
        ),
    ] {
        assert_eq!(x(lines), expected, "{lines}");
    }
}

#[test]
fn what_cannot_be_asked_must_be_told_what_it_fences() {
    let command = |lines: &str| device("command", &format!("off = [\"/bin/x\"]\n{lines}"));
    assert_eq!(
        command(""),
        "name: it cannot list what it fences; give it the command for that, name hosts or ports, or write host_check = \"none\""
    );
    assert_eq!(
        command("host_check = \"status\""),
        "host_check: it cannot tell a status; give it the command for that, name hosts or ports, or write host_check = \"none\""
    );
    for kind in ["files", "dummy"] {
        let lines = if kind == "files" {
            "request_dir = \"/a\"\nresponse_dir = \"/b\""
        } else {
            ""
        };
        assert_eq!(
            device(kind, lines),
            "name: it cannot list what it fences; name hosts or ports, or write host_check = \"none\""
        );
    }
}

#[test]
fn parameters_are_neither_those_of_hax_nor_those_of_pacemaker() {
    for (lines, expected) in [
        (
            "parameters = { action = \"off\" }",
            "parameters.action: is given to the agent by hax itself",
        ),
        (
            "parameters = { nodename = \"n1\" }",
            "parameters.nodename: is given to the agent by hax itself",
        ),
        (
            "parameters = { plug = \"1\" }",
            "parameters.plug: is the port, which hax gives to the agent itself; see ports",
        ),
        (
            "port_parameter = \"uuid\"\nparameters = { uuid = \"1\" }",
            "parameters.uuid: is the port, which hax gives to the agent itself; see ports",
        ),
        (
            "port_parameter = \"action\"",
            "port_parameter: is given to the agent by hax itself",
        ),
        (
            "secrets = { port = \"/x\" }",
            "secrets.port: is the port, which hax gives to the agent itself; see ports",
        ),
        (
            "parameters = { pcmk_host_list = \"n1\" }",
            "parameters.pcmk_host_list: is Pacemaker's; here it is host_list of the device",
        ),
        (
            "parameters = { pcmk_foo = \"n1\" }",
            "parameters.pcmk_foo: is Pacemaker's, and unknown here",
        ),
        (
            "parameters = { \"a=b\" = \"c\" }",
            "parameters.a=b: is not the name of a parameter: letters, digits, `_` and `-`",
        ),
        (
            "parameters = { x = [1] }",
            "parameters.x: is not a string, a whole number, true or false",
        ),
        (
            "parameters = { passwd = \"s3cret\\naction=on\" }",
            "parameters.passwd: has a control character",
        ),
        (
            "parameters = { password = \"s3cret\" }\nsecrets = { password = \"/x\" }",
            "secrets.password: is in parameters, too; give it one way",
        ),
        (
            "secrets = { password = \"s3cret\" }",
            "secrets.password: is not an absolute path",
        ),
    ] {
        let said = agent(lines);
        assert_eq!(said, expected, "{lines}");
        assert!(!said.contains("s3cret"));
    }
}

#[test]
fn a_key_of_another_type_is_refused() {
    for (kind, lines, expected) in [
        (
            "process",
            "hosts = [\"n1\"]",
            "hosts: a device of type process has no hosts; types that have it: agent, files, command, watchdog, dummy",
        ),
        (
            "process",
            "host_check = \"none\"",
            "host_check: a device of type process has no host_check; types that have it: agent, files, command, dummy",
        ),
        (
            "watchdog",
            "ports = { n1 = 1 }",
            "ports: a device of type watchdog has no ports; types that have it: agent, files, command, dummy",
        ),
        (
            "dummy",
            "hosts = [\"n1\"]\noff = [\"/x\"]",
            "off: a device of type dummy has no off; types that have it: command",
        ),
        (
            "agent",
            "agent = \"fence_x\"\nhosts = [\"n1\"]\ntakes = \"1s\"",
            "takes: a device of type agent has no takes; types that have it: dummy",
        ),
    ] {
        assert_eq!(device(kind, lines), expected);
    }
}

#[test]
fn each_type_needs_what_it_is_made_of() {
    for (kind, lines, expected) in [
        (
            "agent",
            "hosts = [\"n1\"]",
            "agent: a device of type agent needs agent: a name, or an absolute path",
        ),
        (
            "agent",
            "hosts = [\"n1\"]\nagent = \"bin/fence_x\"",
            "agent: \"bin/fence_x\" is neither a name such as `fence_ipmilan` nor an absolute path",
        ),
        (
            "command",
            "hosts = [\"n1\"]",
            "off: a device of type command needs off: an absolute path, then arguments",
        ),
        (
            "command",
            "hosts = [\"n1\"]\noff = []",
            "off: is empty; it is a program and its arguments",
        ),
        (
            "command",
            "hosts = [\"n1\"]\noff = [\"poweroff\"]",
            "off: \"poweroff\" is not an absolute path; no shell looks for it",
        ),
        (
            "command",
            "hosts = [\"n1\"]\noff = \"/bin/off\"",
            "off: expected an array of strings, got a string",
        ),
        (
            "command",
            "hosts = [\"n1\"]\noff = [\"/bin/off\"]\nunfence = \"automatic\"",
            "unfence: needs the command on",
        ),
        (
            "files",
            "hosts = [\"n1\"]\nrequest_dir = \"/a\"\nresponse_dir = \"/a\"",
            "response_dir: is request_dir, too; two directories are wanted",
        ),
        (
            "files",
            "hosts = [\"n1\"]\nrequest_dir = \"a\"\nresponse_dir = \"/a\"",
            "request_dir: \"a\" is not an absolute path",
        ),
    ] {
        assert_eq!(device(kind, lines), expected);
    }
    assert_eq!(
        device(
            "files",
            "hosts = [\"n1\"]\nrequest_dir = \"/a\"\nresponse_dir = \"/b\"\n[fence.files]\nrequest_dir = \"/a\""
        ),
        "request_dir: is fence.files.request_dir: hax would be asked by itself"
    );
}

#[test]
fn a_watchdog_waits_for_as_long_as_its_target_may_live() {
    for (lines, expected) in [
        (
            "timeout = \"19s\"",
            "timeout: 19s is below fence.session_ttl + stop_max, 20s: the target may still run when it is over",
        ),
        (
            "timeout = \"24s\"\nstop_max = \"10s\"",
            "timeout: 24s is below fence.session_ttl + stop_max, 25s: the target may still run when it is over",
        ),
        (
            "action = \"command\"",
            "action: needs command, with the program and its arguments",
        ),
        (
            "command = [\"/sbin/halt\"]",
            "command: counts only with action = \"command\"",
        ),
        (
            "action = \"off\"",
            "action: \"off\" is not one of processes, command, reboot",
        ),
        (
            "[[fence.device]]\nname = \"e\"\ntype = \"watchdog\"\nhosts = [\"n1\"]",
            "5:9: fence.device[e].hosts: a node has one watchdog, and d is for some of the same nodes",
        ),
    ] {
        let said = device("watchdog", lines);
        let tail = |text: &str| {
            text.split_once("].")
                .map_or(text.to_owned(), |(_, t)| t.to_owned())
        };
        assert_eq!(tail(&said), tail(expected));
    }
}

#[test]
fn several_errors_are_told_at_once() {
    let said = report(
        "expire = \"1s\"\n\
         [[fence.device]]\nname = \"a\"\ntype = \"agent\"\nretries = 9\nhost_map = \"n1\"\n\
         [[fence.device]]\nname = \"b\"\ntype = \"dummy\"\nfoo = 1\n\
         [[fence.level]]\nlevel = 0\n",
    );
    let keys: Vec<_> = said
        .lines()
        .map(|line| line.split(": ").nth(1).unwrap_or(""))
        .collect();
    assert_eq!(
        keys,
        [
            "fence.expire",
            "fence.device[a].agent",
            "fence.device[a].retries",
            "fence.device[a].host_map",
            "fence.device[b].name",
            "fence.device[b].foo",
            "fence.level[#1].devices",
            "fence.level[#1].target",
            "fence.level[#1].level",
        ]
    );
}
