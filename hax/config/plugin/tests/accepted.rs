//! What a snippet without errors comes to.

use std::time::Duration;

use super::parse;
use crate::config::plugin::{Commands, PluginConfig, Rule, State, Test, UmhConfig};
use crate::plugin::{EventKind, Kind};

fn umh(text: &str) -> UmhConfig {
    match parse(text).unwrap() {
        PluginConfig::Umh(config) => config,
        other => panic!("{other:?}"),
    }
}

fn tests(rule: &Rule) -> Vec<(State, &'static str, Test)> {
    let matchers = rule.matchers.iter();
    matchers
        .map(|matcher| (matcher.state, matcher.field, matcher.test.clone()))
        .collect()
}

#[test]
fn a_debugger_has_no_keys() {
    assert_eq!(parse("[[debugger]]\n").unwrap(), PluginConfig::Debugger);
}

#[test]
fn prometheus_takes_defaults_and_every_key() {
    let PluginConfig::Prometheus(config) = parse("[[prometheus]]\n").unwrap() else {
        panic!("another kind");
    };
    assert_eq!(config.address.to_string(), "127.0.0.1:9942");
    assert_eq!((config.connections.get(), config.enums), (32, false));
    assert_eq!(config.timeout, Duration::from_secs(10));
    let text = "[[prometheus]]\naddress = \"0.0.0.0:1\"\nallow_remote = true\nconnections = 1\n\
                timeout = \"1s\"\nenums = true\n";
    let PluginConfig::Prometheus(config) = parse(text).unwrap() else {
        panic!("another kind");
    };
    assert_eq!(config.address.to_string(), "0.0.0.0:1");
    assert_eq!((config.connections.get(), config.enums), (1, true));
}

#[test]
fn a_rule_has_defaults() {
    let config = umh("[[umh]]\n[[umh.queue]]\ncommand = [\"/bin/true\"]\n");
    assert_eq!((config.concurrency.get(), config.pending_max), (8, 256));
    let [rule] = config.rules.as_slice() else {
        panic!("{config:?}");
    };
    assert_eq!((rule.name.as_str(), rule.object), ("queue-1", Kind::Queue));
    let events = [EventKind::Create, EventKind::Change, EventKind::Destroy];
    assert_eq!(rule.events, events.into());
    assert!(rule.matchers.is_empty() && rule.env.is_empty());
    assert_eq!(rule.timeout, Duration::from_secs(60));
    assert_eq!(
        rule.command,
        Commands::Program(vec!["/bin/true".to_owned()])
    );
}

#[test]
fn rules_keep_the_order_of_the_file_and_all_their_tests() {
    let config = umh("[[umh]]\nconcurrency = 2\npending_max = 0\n\
         [[umh.process]]\nname = \"tell them\"\ncommand = \"tell $HAX_PROCESS\"\nshell = true\n\
         env = { TOKEN = \"s3cret\" }\nevents = [\"exists\", \"change\"]\ntimeout = \"100ms\"\n\
         new.state = \"M0_NC_FAILED\"\nold.state = { operator = \"NotEquals\", value = \"M0_NC_FAILED\" }\n\
         node.operator = \"Matches\"\nnode.value = \"^ssu[12]$\"\n\
         [[umh.link]]\ncommand = [\"/bin/true\"]\nown = false\nlink = 7\n\
         [[umh.process]]\ncommand = [\"/bin/true\", \"x\"]\n");
    let names: Vec<_> = config.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["tell them", "link-1", "process-2"]);
    let first = &config.rules[0];
    assert_eq!(
        first.command,
        Commands::Shell("tell $HAX_PROCESS".to_owned())
    );
    assert_eq!(first.env["TOKEN"], "s3cret");
    assert_eq!(first.events, [EventKind::Exists, EventKind::Change].into());
    let failed = || "M0_NC_FAILED".to_owned();
    assert_eq!(
        tests(first),
        [
            (
                State::Current,
                "node",
                Test::Matches(regex::Regex::new("^ssu[12]$").unwrap())
            ),
            (State::Old, "state", Test::NotEquals(failed())),
            (State::New, "state", Test::Equals(failed())),
        ]
    );
    assert_eq!(
        tests(&config.rules[1]),
        [
            (State::Current, "link", Test::Equals("7".to_owned())),
            (State::Current, "own", Test::Equals("false".to_owned())),
        ]
    );
    let debug = format!("{config:?}");
    assert!(
        !debug.contains("s3cret") && debug.contains("TOKEN"),
        "{debug}"
    );
}

#[test]
fn the_name_of_a_resource_is_not_that_of_the_rule() {
    let config = umh(
        "[[umh]]\n[[umh.device]]\nname = \"n\"\ncommand = [\"/bin/true\"]\nresource_name = \"r\"\nold.resource_name = \"o\"\n",
    );
    let rule = &config.rules[0];
    assert_eq!(rule.name, "n");
    assert_eq!(
        tests(rule),
        [
            (State::Current, "name", Test::Equals("r".to_owned())),
            (State::Old, "name", Test::Equals("o".to_owned())),
        ]
    );
}

#[test]
fn every_field_of_every_object_can_be_named() {
    for kind in Kind::ALL {
        for field in kind.fields() {
            let word = if *field == "name" {
                "resource_name"
            } else {
                field
            };
            for state in ["", "old.", "new."] {
                let config = umh(&format!(
                    "[[umh]]\n[[umh.{kind}]]\ncommand = [\"/x\"]\n{state}{word} = \"v\"\n"
                ));
                let found = tests(&config.rules[0]);
                assert_eq!(found.len(), 1, "{kind}.{state}{field}");
                assert_eq!(found[0].1, *field);
            }
        }
    }
}
