//! What is found, and what is not.

use std::os::unix::fs::PermissionsExt;

use super::{lint, named_nodes};
use crate::fence::sample::config;

/// What is found in a configuration, with the nodes that it names.
fn found(lines: &str) -> Vec<String> {
    let config = config(lines);
    let findings = lint(&config, &named_nodes(&config));
    findings.iter().map(ToString::to_string).collect()
}

/// A device for two nodes, one of which has a delay, and one that kills processes: nothing is odd.
const FINE: &str = "\
[[fence.device]]
name = \"kill\"
type = \"process\"
[[fence.device]]
name = \"apc\"
type = \"agent\"
agent = \"fence_apc\"
ports = { n1 = 1, n2 = 2 }
delays = { n1 = \"5s\" }
";

const WATCHDOG: &str = "[[fence.device]]\nname = \"w\"\ntype = \"watchdog\"\n";

fn level(target: &str, number: u8, device: &str) -> String {
    format!("[[fence.level]]\n{target}\nlevel = {number}\ndevices = [\"{device}\"]\n")
}

#[test]
fn nothing_is_found_where_nothing_is_odd() {
    assert_eq!(found(FINE), [""; 0]);
    let levels = level("pattern = \"n.\"", 1, "apc") + &level("pattern = \"n.\"", 2, "w");
    assert_eq!(found(&format!("{FINE}{WATCHDOG}{levels}")), [""; 0]);
    // A process device has no plug, and no node that it could be a level of.
    let levels = level("pattern = \"n.\"", 1, "apc");
    assert_eq!(
        found(&format!("{FINE}peers = [\"n1\", \"n2\"]\n{levels}")),
        [""; 0]
    );
    // What has no hosts may be for all, with or without a monitor.
    let command = "[[fence.device]]\nname = \"c\"\ntype = \"command\"\nhost_check = \"none\"\n\
                   off = [\"/bin/off\", \"{target}\"]\n";
    assert_eq!(found(&format!("{FINE}{command}")), [""; 0]);
    let names = named_nodes(&config(FINE));
    assert_eq!(
        names.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["n1", "n2"]
    );
}

#[test]
fn each_oddity_is_found() {
    let files = "[[fence.device]]\nname = \"f\"\ntype = \"files\"\nhosts = [\"n1\"]\n\
                 request_dir = \"/a\"\nresponse_dir = \"/b\"\n";
    let cases = [
        (
            String::new(),
            vec!["fence.device: no device is configured: nothing can be fenced"],
        ),
        (
            FINE.replace("5s", "0s"),
            vec![
                "fence.device: two nodes with equal delays may fence each other at the same time; give one of n1 and n2 a delay, or delay_random",
            ],
        ),
        (
            format!("{}delay_random = \"3s\"\n", FINE.replace("5s", "0s")),
            vec![],
        ),
        (
            format!("{FINE}peers = [\"n3\"]\n"),
            vec!["node n3: no device, or no level all of whose devices are for it, can fence it"],
        ),
        (
            format!("{FINE}peers = [\"n1\"]\n"),
            vec![
                "node n1: only the node itself could use its devices, and nobody fences himself; name other peers",
                "fence.device[apc].peers: only n1 could use it, and a node does not fence itself",
            ],
        ),
        (
            format!(
                "{}{WATCHDOG}{}",
                FINE.replace("n1 = \"5s\"", "n2 = \"5s\""),
                level("target = \"n1\"", 1, "w")
            ),
            vec![
                "node n1: only its watchdog fences it: where that is not armed, nothing does; add a device",
            ],
        ),
        (
            format!(
                "{FINE}{files}{}{}",
                level("target = \"n1\"", 1, "apc"),
                level("target = \"n1\"", 3, "apc")
            ),
            vec![
                "fence.level: target n1 has a level 3, but no level 2",
                "fence.device[f].name: no level names it, and every node that it could fence has levels",
            ],
        ),
        (
            format!("{FINE}{}", level("pattern = \"m.\"", 1, "apc")),
            vec![
                "fence.level[#1].pattern: matches no node that is known; it has to match a whole name",
            ],
        ),
        (
            format!("{FINE}parameters = {{ passwd = \"s3cret\", passwd_script = \"/x\" }}\n"),
            vec![
                "fence.device[apc].parameters.passwd: is written in the configuration; secrets takes it from a file",
            ],
        ),
        (
            format!(
                "{FINE}[[fence.device]]\nname = \"c\"\ntype = \"command\"\nhosts = [\"n1\", \"n2\"]\noff = [\"/bin/off\"]\n"
            ),
            vec![
                "fence.device[c].off: says neither {target} nor {port}, so it is the same for each of several nodes",
            ],
        ),
        (
            format!("{FINE}[[fence.device]]\nname = \"d\"\ntype = \"dummy\"\nhosts = [\"n1\"]\n"),
            vec![
                "fence.device[d].type: dummy fences nothing; a success of it lets Motr believe what is not so",
            ],
        ),
        (
            format!(
                "{FINE}[[fence.policy]]\nname = \"all\"\n[[fence.policy]]\nname = \"ios\"\nprocesses = [\"ios\"]\n"
            ),
            vec!["fence.policy[ios]: all before it is for everything, so it never counts"],
        ),
        (
            FINE.lines().skip(3).collect::<Vec<_>>().join("\n"),
            vec![
                "fence.policy[default].escalate: no device is of type process: a failed process is fenced only by fencing its node",
            ],
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(found(&lines), expected, "{lines}");
    }
}

#[test]
fn names_that_the_catalog_does_not_have_are_found() {
    let lines = format!("{FINE}{}", level("target = \"n2\"", 1, "apc"));
    let config = config(&lines);
    let nodes = ["n1".parse().unwrap()];
    let found: Vec<_> = lint(&config, &nodes)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "fence.level[#1].target: no node has the name n2",
            "fence.device[apc].hosts: no node has the name n2",
        ]
    );
}

#[test]
fn a_file_with_a_secret_is_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("apc");
    let lines = format!("{FINE}secrets = {{ passwd = \"{}\" }}\n", file.display());
    let what = "fence.device[apc].secrets.passwd";
    assert_eq!(
        found(&lines),
        [format!(
            "{what}: cannot look at the file: No such file or directory (os error 2)"
        )]
    );
    std::fs::write(&file, "s3cret").unwrap();
    for (mode, expected) in [
        (
            0o644,
            vec![format!(
                "{what}: everybody on this machine can read the file; make its mode 0600"
            )],
        ),
        (0o600, vec![]),
    ] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(found(&lines), expected);
    }
}
