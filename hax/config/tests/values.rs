//! Values that are refused, and why.

use super::{MINIMAL, parse, report};

#[test]
fn refused_values_say_why() {
    for (lines, expected) in [
        (
            "[dispatch]\nqueue_max = 63",
            "dispatch.queue_max: 63 is out of range, 64 to 1048576",
        ),
        (
            "[dispatch]\nqueue_max = -1",
            "dispatch.queue_max: -1 is out of range, 64 to 1048576",
        ),
        (
            "[entrypoint]\ntimeout = \"99ms\"",
            "entrypoint.timeout: \"99ms\" is out of range, 100ms to 1m",
        ),
        (
            "[entrypoint]\ntimeout = \"61s\"",
            "entrypoint.timeout: \"61s\" is out of range, 100ms to 1m",
        ),
        (
            "[entrypoint]\ntimeout = \"2\"",
            "entrypoint.timeout: \"2\" has no unit; use ms, s, m or h",
        ),
        (
            "[entrypoint]\ntimeout = \"2 s\"",
            "entrypoint.timeout: \"2 s\" has an unknown unit; use ms, s, m or h",
        ),
        (
            "[entrypoint]\ntimeout = \"-2s\"",
            "entrypoint.timeout: \"-2s\" does not start with a whole number",
        ),
        (
            "[entrypoint]\ntimeout = \"99999999999999999h\"",
            "entrypoint.timeout: \"99999999999999999h\" is too large",
        ),
        (
            "[entrypoint]\ntimeout = \"99999999999999999999s\"",
            "entrypoint.timeout: \"99999999999999999999s\" is too large",
        ),
        (
            "[http]\nbody_limit = \"1023B\"",
            "http.body_limit: \"1023B\" is out of range, 1KiB to 256MiB",
        ),
        (
            "[http]\nbody_limit = \"1GiB\"",
            "http.body_limit: \"1GiB\" is out of range, 1KiB to 256MiB",
        ),
        (
            "[http]\nbody_limit = \"18014398509481985KiB\"",
            "http.body_limit: \"18014398509481985KiB\" is too large",
        ),
        (
            "[http]\nlisten = \"localhost\"",
            "http.listen: \"localhost\" is not `IP:PORT`, such as 127.0.0.1:8008 or [::1]:8008",
        ),
        (
            "[log]\nformat = \"xml\"",
            "log.format: \"xml\" is not one of text, json",
        ),
        (
            "[log]\nlevel = \"verbose\"",
            "log.level: \"verbose\" is not a level; levels are off, error, warn, info, debug, trace",
        ),
        (
            "[consul]\ndatacenter = \"\"",
            "consul.datacenter: is empty; leave the key out for the agent's own datacenter",
        ),
        (
            "[consul]\ndatacenter = \"a b\"",
            "consul.datacenter: \"a b\" has a character other than letters, digits, `-` and `_`",
        ),
        (
            "[consul]\ntoken_file = \"\"",
            "consul.token_file: is empty; leave the key out if there is no such file",
        ),
    ] {
        let expected = format!(
            "hax.toml:9:{}: {expected}",
            lines.split('\n').nth(1).unwrap().find('=').unwrap() + 3
        );
        assert_eq!(report(lines), expected);
    }
}

#[test]
fn consul_addresses_are_scheme_host_and_port_only() {
    for (address, expected) in [
        (
            "127.0.0.1:8500",
            "is not `http://host:port` or `https://host:port`",
        ),
        (
            "unix:///run/consul.sock",
            "is not `http://host:port` or `https://host:port`",
        ),
        (
            "http://",
            "is not `http://host:port` or `https://host:port`",
        ),
        (
            "http://me:s3cret@h:1",
            "carries a user name; put an ACL token into consul.token_file",
        ),
        ("http://h:0", "has no valid port; ports are 1 to 65535"),
        ("http://h:70000", "has no valid port; ports are 1 to 65535"),
        (
            "http://h/v1",
            "carries a path or a query; only scheme, host and port belong here",
        ),
        (
            "http://h?token=s3cret",
            "carries a path or a query; only scheme, host and port belong here",
        ),
    ] {
        let report = report(&format!("[consul]\naddress = \"{address}\""));
        assert_eq!(
            report,
            format!("hax.toml:9:11: consul.address: {expected}"),
            "{address}"
        );
    }
    for address in [
        "http://localhost",
        "https://[::1]:8501",
        "http://10.0.0.1:8500/",
    ] {
        parse(&format!("{MINIMAL}[consul]\naddress = \"{address}\"")).unwrap();
    }
}

#[test]
fn certificate_and_key_go_together_and_need_tls() {
    assert_eq!(
        report("[consul]\naddress = \"https://h:8501\"\ncert_file = \"/c\""),
        "hax.toml:10:13: consul.cert_file: needs consul.key_file as well"
    );
    assert_eq!(
        report("[consul]\naddress = \"https://h:8501\"\nkey_file = \"/k\""),
        "hax.toml:10:12: consul.key_file: needs consul.cert_file as well"
    );
    assert_eq!(
        report("[consul]\nca_file = \"/ca\""),
        "hax.toml:9:11: consul.ca_file: has no effect on an http:// address; make it https://"
    );
}

#[test]
fn endpoints_and_names_are_bounded() {
    let long_path = format!("unix:/{}", "p".repeat(107));
    let long = "e".repeat(256);
    for (endpoint, expected) in [
        ("", "is empty".to_owned()),
        (
            "a b",
            "\"a b\" has a space or a character that is not printable ASCII".to_owned(),
        ),
        (
            "é",
            "\"é\" has a space or a character that is not printable ASCII".to_owned(),
        ),
        (&long, "is longer than 255 bytes".to_owned()),
        (
            &long_path,
            "the socket's path is longer than 107 bytes".to_owned(),
        ),
        (
            "inet:tcp:@1",
            "\"inet:tcp:@1\" is not `inet:tcp:IP@PORT` with a port from 1 to 65535".to_owned(),
        ),
        (
            "inet:tcp:h@0",
            "\"inet:tcp:h@0\" is not `inet:tcp:IP@PORT` with a port from 1 to 65535".to_owned(),
        ),
    ] {
        let text = MINIMAL.replace("inet:tcp:192.168.0.1@22001", endpoint);
        assert_eq!(
            parse(&text).unwrap_err(),
            format!("hax.toml:4:12: ha.endpoint: {expected}")
        );
    }
    for endpoint in [
        "unix:/run/hax/ha.sock",
        "192.168.180.162@tcp:12345:44:101",
        "inet:tcp:::1@1",
    ] {
        parse(&MINIMAL.replace("inet:tcp:192.168.0.1@22001", endpoint)).unwrap();
    }
    for (name, expected) in [
        ("", "is empty".to_owned()),
        (
            "a/b",
            "\"a/b\" has a space, a `/` or a character that is not printable ASCII".to_owned(),
        ),
        (&long, "is longer than 255 bytes".to_owned()),
    ] {
        let text = MINIMAL.replace("ssu1", name);
        assert_eq!(
            parse(&text).unwrap_err(),
            format!("hax.toml:2:8: node.name: {expected}")
        );
    }
}
