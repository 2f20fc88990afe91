use std::path::Path;
use std::time::Duration;

use halink::Fid;
use proptest::prelude::*;

use super::*;
use crate::dispatch::Mode;

const MINIMAL: &str = "\
[node]
name = \"ssu1\"
[ha]
endpoint = \"inet:tcp:192.168.0.1@22001\"
process = \"0x7200000000000001:0x0\"
ha_service = \"0x7300000000000001:0x1\"
rm_service = \"<7300000000000001:2>\"
";

fn parse(text: &str) -> Result<Config, String> {
    Config::from_toml("hax.toml", text).map_err(|errors| errors.to_string())
}

/// The report on the minimal file with these lines after it.
fn report(lines: &str) -> String {
    parse(&format!("{MINIMAL}{lines}")).expect_err("an error")
}

#[test]
fn a_minimal_file_takes_every_default() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.node.name, "ssu1");
    assert_eq!(config.ha.endpoint.as_str(), "inet:tcp:192.168.0.1@22001");
    assert_eq!(config.ha.process, Fid::new(0x7200_0000_0000_0001, 0));
    assert_eq!(config.ha.ha_service, Fid::new(0x7300_0000_0000_0001, 1));
    assert_eq!(config.ha.rm_service, Fid::new(0x7300_0000_0000_0001, 2));
    assert_eq!(config.ha.on_fatal_message, FatalMessage::Isolate);
    assert_eq!(config.ha.profile, Profile::FiveHax);
    assert_eq!(config.entrypoint.timeout, Duration::from_secs(2));
    assert_eq!(config.dispatch.queue_max.get(), 16_384);
    assert_eq!(config.dispatch.mode, Mode::Queue);
    assert_eq!(config.retry.attempt, Duration::from_secs(10));
    assert_eq!(config.consul.address.as_str(), "http://127.0.0.1:8500");
    assert_eq!(config.consul.timeout, Duration::from_secs(5));
    assert_eq!(config.consul.connect_timeout, Duration::from_secs(1));
    assert_eq!(config.consul.token_file, None);
    assert_eq!(config.consul.client_certificate, None);
    assert_eq!(config.retry.min, Duration::from_millis(100));
    assert_eq!(config.retry.max, Duration::from_secs(5));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8008");
    assert_eq!(config.http.body_limit, 16 << 20);
    assert!(config.leader.elect);
    assert_eq!(config.leader.lock_delay, Duration::from_secs(2));
    assert!(config.kv.process_alias);
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.level.as_str(), "info");
}

#[test]
fn every_key_can_be_given() {
    let config = parse(&format!(
        "{MINIMAL}on_fatal_message = \"panic\"\nprofile = \"hare\"\n\
         [entrypoint]\ntimeout = \"100ms\"\n\
         [dispatch]\nmode = \"lanes\"\nqueue_max = 0x400\n\
         [consul]\naddress = \"https://consul.example:8501/\"\ntoken_file = \"/etc/hax/token\"\n\
         ca_file = \"/etc/hax/ca.pem\"\ncert_file = \"/etc/hax/cert.pem\"\nkey_file = \"/etc/hax/key.pem\"\n\
         timeout = \"1m\"\nconnect_timeout = \"10ms\"\ndatacenter = \"dc-1\"\n\
         [retry]\nmin = \"1s\"\nmax = \"1s\"\n\
         [http]\nlisten = \"[::1]:0\"\nbody_limit = \"256MiB\"\n\
         [leader]\nelect = false\nlock_delay = \"0s\"\n\
         [kv]\nprocess_alias = false\n\
         [log]\nformat = \"json\"\nlevel = \"warn,hax::http=debug\"\n"
    ))
    .unwrap();
    assert_eq!(config.dispatch.queue_max.get(), 1024);
    assert_eq!(config.dispatch.mode, Mode::Lanes);
    assert_eq!(
        config.consul.address.as_str(),
        "https://consul.example:8501"
    );
    assert!(config.consul.address.is_tls());
    assert_eq!(config.consul.timeout, Duration::from_secs(60));
    let certificate = config.consul.client_certificate.unwrap();
    assert_eq!(certificate.cert_file, Path::new("/etc/hax/cert.pem"));
    assert_eq!(certificate.key_file.path(), Path::new("/etc/hax/key.pem"));
    assert_eq!(
        config.consul.token_file.unwrap().path(),
        Path::new("/etc/hax/token")
    );
    assert_eq!(config.consul.datacenter.as_deref(), Some("dc-1"));
    assert_eq!(config.http.listen.to_string(), "[::1]:0");
    assert_eq!(config.ha.on_fatal_message, FatalMessage::Panic);
    assert_eq!(config.ha.profile, Profile::Hare);
    assert!(!config.leader.elect && !config.kv.process_alias);
    assert_eq!(config.log.format, LogFormat::Json);
}

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
            "hax.toml:8:2: [qqqq]: unknown section; known here: node, ha, entrypoint, dispatch, consul, retry, http, leader, kv, log",
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
         hax.toml:2:1: zzz: unknown key; known here: node, ha, entrypoint, dispatch, consul, retry, http, leader, kv, log"
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
fn files_that_are_not_text_or_not_there_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hax.toml");
    let file = path.display();
    let load = || Config::load(&path).map_err(|errors| errors.to_string());
    assert_eq!(
        load().unwrap_err(),
        format!("{file}: cannot read the configuration: No such file or directory (os error 2)")
    );
    assert!(
        Config::load(dir.path())
            .unwrap_err()
            .to_string()
            .contains("Is a directory")
    );
    std::fs::write(&path, b"[node]\n# \xc3\xa9 \xff\n").unwrap();
    assert_eq!(
        load().unwrap_err(),
        format!("{file}:2:5: the file is not UTF-8 text from here on")
    );
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(
        load().unwrap_err(),
        format!("{file}: the file is larger than 1048576 bytes; is it the configuration?")
    );
    std::fs::write(&path, MINIMAL).unwrap();
    assert_eq!(load().unwrap().node.name, "ssu1");
}

#[test]
fn debug_shows_no_secret_file() {
    let config = parse(&format!(
        "{MINIMAL}[consul]\ntoken_file = \"/etc/hax/token\"\n"
    ))
    .unwrap();
    let debug = format!("{config:?}");
    assert!(debug.contains("token_file: Some(<redacted>)"), "{debug}");
    assert!(!debug.contains("/etc/hax/token"), "{debug}");
}

#[test]
fn many_errors_are_counted_not_listed() {
    let keys: String = (0..250).map(|nr| format!("k{nr} = 0\n")).collect();
    let report = report(&format!("[kv]\n{keys}"));
    assert_eq!(report.lines().count(), 101);
    assert!(report.ends_with("… and 150 more"), "{report}");
}

#[test]
fn the_reference_agrees_with_the_parser() {
    let table = reference_table();
    for key in reference() {
        assert!(
            table.contains(&format!("| `{}` |", key.path)),
            "{}",
            key.path
        );
        let is_required = MINIMAL.contains(&format!("{} = ", key.leaf()));
        assert_eq!(
            key.default == DefaultValue::Required,
            is_required || key.path == "node.name"
        );
        let quoted = |value: &str| match key.kind {
            Kind::Boolean | Kind::Number => value.to_owned(),
            _ => format!("{value:?}"),
        };
        let accepts = |value: &str| {
            let section = format!("[{}]\n", key.section());
            let line = format!("{} = {}\n", key.leaf(), quoted(value));
            let text = if MINIMAL.contains(&section) {
                MINIMAL.replace(&section, &format!("{section}{line}"))
            } else {
                format!("{MINIMAL}{section}{line}")
            };
            // Another key may then disagree (retry.min above retry.max); that is not this one.
            let refused = |line: &str| {
                let (quoted, number) = (format!("{}: \"", key.path), "is out of range");
                line.contains(&quoted) || line.contains(key.path) && line.contains(number)
            };
            parse(&text)
                .err()
                .is_none_or(|report| !report.lines().any(refused))
        };
        if let DefaultValue::Value(value) = key.default {
            assert!(accepts(value), "{} = {value}", key.path);
        }
        match key.range {
            Range::OneOf(words) => assert!(words.iter().all(|word| accepts(word)), "{}", key.path),
            Range::Number(min, max) => {
                assert!(accepts(&min.to_string()) && accepts(&max.to_string()));
                assert!(!accepts(&(max + 1).to_string()), "{}", key.path);
                assert!(!accepts(&(min - 1).to_string()), "{}", key.path);
            }
            Range::Duration(min, max) => {
                assert!(accepts(&schema::show_duration(min)), "{}", key.path);
                assert!(accepts(&schema::show_duration(max)), "{}", key.path);
                let beyond = schema::show_duration(max + Duration::from_millis(1));
                assert!(!accepts(&beyond), "{} = {beyond}", key.path);
            }
            Range::Size(min, max) => {
                assert!(accepts(&schema::show_size(min)) && accepts(&schema::show_size(max)));
                assert!(!accepts(&schema::show_size(max + 1)), "{}", key.path);
            }
            Range::Rule(_) => {}
        }
    }
}

#[test]
fn hostile_files_are_refused_in_bounded_time() {
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(Config::from_toml("f", &deep).is_err());
    let tables = format!("[{}a]", "a.".repeat(20_000));
    assert!(Config::from_toml("f", &tables).is_err());
    let garbage = "= \n".repeat(30_000);
    assert_eq!(
        Config::from_toml("f", &garbage).unwrap_err().errors().len(),
        100
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Err(errors) = Config::from_bytes("f", &bytes) {
            prop_assert!(!errors.errors().is_empty());
        }
    }

    #[test]
    fn arbitrary_toml_like_text_never_panics(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("[".to_owned()), Just("]".to_owned()), Just("\n".to_owned()),
                Just("=".to_owned()), Just("\"".to_owned()), Just("{".to_owned()),
                Just("node".to_owned()), Just("ha".to_owned()), Just(".".to_owned()),
                Just("http".to_owned()), Just("listen".to_owned()), ".{0,6}",
            ],
            0..60,
        )
    ) {
        if let Err(errors) = Config::from_toml("f", &parts.concat()) {
            let report = errors.to_string();
            prop_assert!(!errors.errors().is_empty());
            prop_assert_eq!(report.lines().count(), errors.errors().len().min(101), "{}", report);
        }
    }

    #[test]
    fn arbitrary_values_of_known_keys_never_panic(
        nr in 0..reference().len(), value in "\\PC{0,40}"
    ) {
        let key = reference()[nr];
        let quoted = format!("{value:?}");
        let _ = Config::from_toml("f", &format!("{} = {quoted}\n", key.path));
        let _ = Config::from_toml("f", &format!("{} = '{value}'\n", key.path));
        let _ = Config::from_toml("f", &format!("{} = {value}\n", key.path));
    }

    #[test]
    fn durations_and_sizes_read_back(ms in 0..10_000_000_u64, bytes in 0..1_u64 << 40) {
        let ms = Duration::from_millis(ms);
        prop_assert_eq!(value::duration(&schema::show_duration(ms)), Ok(ms));
        prop_assert_eq!(value::size(&schema::show_size(bytes)), Ok(bytes));
    }
}

#[test]
fn the_readme_has_the_reference() {
    let readme = include_str!("../../README.md");
    let table = reference_table();
    assert!(
        readme.contains(&table),
        "README.md lacks this table, to the letter:\n{table}"
    );
}
