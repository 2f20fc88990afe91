//! What is refused of `[fence]`, its levels and its policies, and in which words.

use super::{APC, parse, report};
use crate::config::Config;
use crate::config::tests::MINIMAL;

fn level(lines: &str) -> String {
    report(&format!("{APC}[[fence.level]]\n{lines}\n"))
}

#[test]
fn values_out_of_range_are_refused() {
    for (lines, expected) in [
        (
            "tolerance = \"abc\"",
            "1:13: fence.tolerance: \"abc\" does not start with a whole number",
        ),
        (
            "session_ttl = \"9s\"",
            "1:15: fence.session_ttl: \"9s\" is out of range, 10s to 1h",
        ),
        (
            "lock_delay = \"0s\"",
            "1:14: fence.lock_delay: \"0s\" is out of range, 1s to 1m",
        ),
        (
            "storm_targets = 0",
            "1:17: fence.storm_targets: 0 is out of range, 1 to 1000",
        ),
        (
            "storm_percent = 101",
            "1:17: fence.storm_percent: 101 is out of range, 1 to 100",
        ),
        (
            "loop_count = 0",
            "1:14: fence.loop_count: 0 is out of range, 1 to 100",
        ),
        (
            "loop_window = \"59s\"",
            "1:15: fence.loop_window: \"59s\" is out of range, 1m to 168h",
        ),
        (
            "action = \"on\"",
            "1:10: fence.action: \"on\" is not one of reboot, off",
        ),
        (
            "audit_file = \"audit.jsonl\"",
            "1:14: fence.audit_file: \"audit.jsonl\" is not an absolute path",
        ),
        (
            "toleranze = \"1s\"",
            "1:1: fence.toleranze: unknown key; did you mean fence.tolerance?",
        ),
        (
            "[fence.fles]",
            "1:8: fence.fles: unknown key; did you mean fence.files?",
        ),
        (
            "[[fence.devices]]",
            "1:9: fence.devices: unknown key; did you mean fence.device?",
        ),
        (
            "[fence.device]",
            "1:8: fence.device: expected tables, [[fence.device]], got a table",
        ),
        (
            "level = [1]",
            "1:10: fence.level[#1]: expected tables, [[fence.level]], got an integer",
        ),
        (
            "files = true",
            "1:1: fence.files: expected a table, [fence.files], got a boolean",
        ),
    ] {
        assert_eq!(report(lines), expected);
    }
}

#[test]
fn the_node_needs_a_name_that_keys_can_have() {
    let text = MINIMAL.replace("ssu1", "ssu+1");
    assert!(Config::from_toml("f", &text).is_ok());
    let errors = Config::from_toml("f", &format!("{text}[fence]\nenabled = true\n"));
    assert_eq!(
        errors.unwrap_err().to_string(),
        "f:2:8: node.name: with fence.enabled it is part of keys: \"ssu+1\" is not the name of a node: letters, digits, `.`, `_` and `-` only"
    );
}

#[test]
fn request_files_have_two_directories_and_owners_are_uids() {
    for (lines, expected) in [
        (
            "[fence.files]\nrequest_dir = \"/x\"\nresponse_dir = \"/x\"",
            "3:16: fence.files.response_dir: is fence.files.request_dir, too; two directories are wanted",
        ),
        (
            "[fence.files]\nowners = [-1]",
            "2:11: fence.files.owners: -1 is out of range, 0 to 4294967294",
        ),
        (
            "[fence.files]\nowners = [\"root\"]",
            "2:11: fence.files.owners: expected a whole number, got a string",
        ),
        (
            "[fence.files]\nowners = 0",
            "2:10: fence.files.owners: expected an array of whole numbers, got an integer",
        ),
    ] {
        assert_eq!(report(lines), expected);
    }
}

#[test]
fn levels_have_one_target_and_devices_that_exist() {
    for (lines, expected) in [
        (
            "target = \"ssu1\"\nlevel = 1\ndevices = []",
            "9:11: fence.level[#1].devices: names no device: such a level would succeed without fencing",
        ),
        (
            "target = \"ssu1\"\nlevel = 1\ndevices = [\"apc1\"]",
            "9:11: fence.level[#1].devices: there is no device apc1; did you mean apc?",
        ),
        (
            "target = \"ssu1\"\nlevel = 1\ndevices = [\"ipmi\"]",
            "9:11: fence.level[#1].devices: there is no device ipmi",
        ),
        (
            "target = \"ssu1\"\nlevel = 1\ndevices = [\"apc\", \"apc\"]",
            "9:11: fence.level[#1].devices: apc is named twice",
        ),
        (
            "target = \"ssu3\"\nlevel = 1\ndevices = [\"apc\"]",
            "9:11: fence.level[#1].devices: apc does not fence ssu3",
        ),
        (
            "pattern = \"@[\"\nlevel = 1\ndevices = [\"apc\"]",
            "7:11: fence.level[#1].pattern: \"@[\" is not a regular expression: unclosed character class",
        ),
        (
            "pattern = \"a)|(b\"\nlevel = 1\ndevices = [\"apc\"]",
            "7:11: fence.level[#1].pattern: \"a)|(b\" is not a regular expression: unopened group",
        ),
        (
            "pattern = \"\"\nlevel = 1\ndevices = [\"apc\"]",
            "7:11: fence.level[#1].pattern: is empty; `.*` matches every node",
        ),
        (
            "attribute = \"rack\"\nlevel = 1\ndevices = [\"apc\"]",
            "7:13: fence.level[#1].attribute: \"rack\" is not `key=value`",
        ),
        (
            "level = 1\ndevices = [\"apc\"]",
            "6:1: fence.level[#1].target: one of target, pattern and attribute is required",
        ),
        (
            "target = \"ssu1\"\npattern = \".*\"\nlevel = 1\ndevices = [\"apc\"]",
            "8:11: fence.level[#1].pattern: only one of target, pattern and attribute can be given",
        ),
        (
            "target = \"ssu1\"\nlevel = 10\ndevices = [\"apc\"]",
            "8:9: fence.level[#1].level: 10 is out of range, 1 to 9",
        ),
        (
            "target = \"ssu1\"\nlevel = 0\ndevices = [\"apc\"]",
            "8:9: fence.level[#1].level: 0 is out of range, 1 to 9",
        ),
        (
            "target = \"ssu1\"",
            "6:1: fence.level[#1].level: required, but not given; it is 1 to 9\n\
             6:1: fence.level[#1].devices: required, but not given; it is names of devices, 1 to 32",
        ),
        (
            "target = \"ssu1\"\nlevel = 1\ndevices = [\"apc\"]\n\
             [[fence.level]]\ntarget = \"ssu1\"\nlevel = 1\ndevices = [\"apc\"]",
            "12:9: fence.level[#2].level: there is another level 1 for ssu1; name all of its devices in one",
        ),
        (
            "target = \"ssu1\"\nlevel = 1\ndevices = [\"kill\"]\n\
             [[fence.device]]\nname = \"kill\"\ntype = \"process\"",
            "9:11: fence.level[#1].devices: kill is of type process; levels are for nodes, and processes need none",
        ),
    ] {
        assert_eq!(level(lines), expected);
    }
    let long = format!(
        "pattern = \"{}\"\nlevel = 1\ndevices = [\"apc\"]",
        "x".repeat(257)
    );
    assert_eq!(
        level(&long),
        "7:11: fence.level[#1].pattern: is longer than 256 bytes"
    );
    let big = "pattern = \"((a{100}){100}){100}\"\nlevel = 1\ndevices = [\"apc\"]";
    assert!(level(big).contains("size limit"), "{}", level(big));
}

#[test]
fn a_level_of_a_wrong_device_is_told_of_the_device_only() {
    let said = report(
        "[[fence.device]]\nname = \"apc\"\ntype = \"agnt\"\n\
         [[fence.level]]\ntarget = \"ssu1\"\nlevel = 1\ndevices = [\"apc\"]",
    );
    assert_eq!(
        said,
        "3:8: fence.device[apc].type: \"agnt\" is not one of agent, files, process, command, watchdog, dummy"
    );
}

#[test]
fn policies_are_checked() {
    for (lines, expected) in [
        (
            "after = \"0s\"",
            "1:3: fence.policy[#1].name: required, but not given; it is letters, digits, `.`, `_` and `-`, at most 64; unique",
        ),
        (
            "name = \"a b\"",
            "2:8: fence.policy[#1].name: \"a b\" is not the name of a policy: letters, digits, `.`, `_` and `-`, at most 64",
        ),
        (
            "name = \"a\"\non = [\"chek\"]",
            "3:7: fence.policy[a].on: \"chek\" is not one of check, isolate, node-lost, motr",
        ),
        (
            "name = \"a\"\non = []",
            "3:6: fence.policy[a].on: is empty; leave the key out for the default",
        ),
        (
            "name = \"a\"\nprocesses = [\"0x7300000000000001:0x1\"]",
            "3:14: fence.policy[a].processes: \"0x7300000000000001:0x1\" is a Service; a Process is wanted (type letter 'r')",
        ),
        (
            "name = \"a\"\nprocesses = [\"i o\"]",
            "3:14: fence.policy[a].processes: \"i o\" is neither the name of a service nor the fid of a process",
        ),
        (
            "name = \"a\"\naction = \"on\"",
            "3:10: fence.policy[a].action: \"on\" is not one of off, reboot, none",
        ),
        (
            "name = \"a\"\nmax = 0",
            "3:7: fence.policy[a].max: 0 is out of range, 1 to 100",
        ),
        (
            "name = \"a\"\n[[fence.policy]]\nname = \"a\"",
            "4:8: fence.policy[a].name: there is another policy of the name a",
        ),
    ] {
        let said = report(&format!("[[fence.policy]]\n{lines}"));
        let tail = |text: &str| text.split_once(": ").map(|(_, tail)| tail.to_owned());
        assert_eq!(tail(&said), tail(expected), "{said}");
    }
    assert!(parse("[[fence.policy]]\nname = \"a\"\nprocesses = [\"s3service\"]").is_ok());
}
