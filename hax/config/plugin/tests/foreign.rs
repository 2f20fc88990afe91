//! Snippets as users of drbd-reactor have them: each answer says what to change.

use super::{parse, report};

#[test]
fn a_promoter_is_not_available_yet_and_its_dashes_are_answered() {
    let of_instance = report(
        "[[promoter]]\n[promoter.resources.my-data]\nrunner = \"systemd\"\ndependencies-as = \"Requires\"\n\
         start = [\"data.mount\", \"data.service\"]\non-quorum-loss = \"shutdown\"\n",
    );
    assert_eq!(
        of_instance,
        "x.toml:1:1: promoter: not available yet; rename the file to NAME.toml.disabled\n\
         x.toml:4:1: promoter.dependencies-as: dashes are underscores here: dependencies_as\n\
         x.toml:6:1: promoter.on-quorum-loss: dashes are underscores here: on_quorum_loss"
    );
    let without_its_header = report("[promoter.resources.data]\nstart = []\n");
    assert!(
        without_its_header.contains("promoter: not available yet"),
        "{without_its_header}"
    );
    assert!(report("promoter = 1\n").contains("promoter: not available yet"));
    let beside = report("[[debugger]]\n[promoter.resources.data]\n");
    assert!(
        beside.contains("promoter: a snippet is one instance"),
        "{beside}"
    );
}

#[test]
fn rules_are_accepted_once_what_the_report_says_is_done() {
    let before = "[[umh]]\n[[umh.resource]]\nname = \"now primary\"\ncommand = \"/usr/local/bin/up.sh\"\n\
                  event-type = \"Change\"\nresource-name = \"data\"\nmay-promote = false\n\
                  old.role = { operator = \"NotEquals\", value = \"Primary\" }\nnew.role = \"Primary\"\n";
    assert_eq!(
        report(before),
        "x.toml:4:11: umh.resource[#1].command: is a string: write a list, such as [\"/usr/local/bin/tell\", \
         \"argument\"], which runs without a shell, or add shell = true\n\
         x.toml:5:1: umh.resource[#1].event-type: unknown key; the kinds of event are a list here: events = [\"change\"]\n\
         x.toml:6:1: umh.resource[#1].resource-name: unknown key; dashes are underscores here: umh.resource.resource_name\n\
         x.toml:7:1: umh.resource[#1].may-promote: unknown key; dashes are underscores here: umh.resource.may_promote"
    );
    let after = before
        .replace("sh\"\n", "sh\"\nshell = true\n")
        .replace("event-type = \"Change\"", "events = [\"change\"]")
        .replace("resource-name", "resource_name")
        .replace("may-promote", "may_promote");
    parse(&after).unwrap();
}

#[test]
fn keys_with_other_names_are_answered_with_ours() {
    let of = |object: &str, line: &str| {
        report(&format!(
            "[[umh]]\n[[umh.{object}]]\ncommand = [\"/x\"]\n{line}\n"
        ))
    };
    for (object, line, answer) in [
        ("peerdevice", "", "its name is umh.peer_device here"),
        (
            "peer-device",
            "",
            "dashes are underscores here: umh.peer_device",
        ),
        (
            "device",
            "old.disk-state = \"UpToDate\"",
            "the field is disk",
        ),
        ("device", "new.open = true", "is not known here"),
        (
            "connection",
            "connection-state = \"Connected\"",
            "the field is connection",
        ),
        (
            "connection",
            "new.peer-role = \"Primary\"",
            "the field is role",
        ),
        (
            "connection",
            "peer-node-id = 1",
            "dashes are underscores here: umh.connection.peer_node_id",
        ),
        (
            "peer_device",
            "old.peer-disk-state = \"Failed\"",
            "the field is peer_disk",
        ),
        (
            "peer_device",
            "new.replication-state = \"Off\"",
            "the field is replication",
        ),
        (
            "peer_device",
            "new.resync_suspended = false",
            "is \"no\", or the reason, here",
        ),
        (
            "resource",
            "old.name = \"data\"",
            "the name of the DRBD resource is resource_name",
        ),
        (
            "process",
            "event-type = \"Change\"",
            "events = [\"change\"]",
        ),
    ] {
        let report = of(object, line);
        assert!(report.contains(answer), "{object} {line}: {report}");
    }
    for (text, answer) in [
        (
            "[[prometheus]]\nid = \"metrics\"\n",
            "an instance has the name of its file",
        ),
        ("[[agentx]]\n", "there is no plugin for SNMP"),
        ("snippets = \"/etc\"\n[[debugger]]\n", "plugins.snippets"),
        ("[[log]]\nlevel = \"debug\"\n", "log.level"),
    ] {
        let report = report(text);
        assert!(report.contains(answer), "{text}: {report}");
    }
}
