//! What a configuration of fencing without errors comes to.

use std::path::Path;
use std::time::Duration;

use super::{APC, parse};
use crate::config::Config;
use crate::config::fence::{
    DeviceKind, HostCheck, LevelTarget, Readmit, Trigger, Unfence, WatchdogAction,
};
use crate::config::tests::MINIMAL;
use crate::fence::model::{Action, NodeName};

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn fencing_is_off_unless_enabled_and_checked_all_the_same() {
    let with = |lines: &str| Config::from_toml("hax.toml", &format!("{MINIMAL}{lines}"));
    assert!(with("").unwrap().fence.is_none());
    assert!(with(APC).unwrap().fence.is_none());
    assert!(with("[fence]\nenabled = false\n").unwrap().fence.is_none());
    assert!(with("[fence]\nlock_delay = \"0s\"\n").is_err());
}

#[test]
fn everything_has_a_default() {
    let fence = parse("").unwrap();
    assert_eq!(fence.session_ttl, secs(15));
    assert_eq!(fence.lock_delay, secs(5));
    assert_eq!(fence.storm_percent, 34);
    assert_eq!(fence.action, Action::Reboot);
    assert_eq!(fence.readmit, Readmit::Reboot);
    assert_eq!(fence.history_age, secs(30 * 24 * 3600));
    assert_eq!(fence.agent_dir, Path::new("/usr/sbin"));
    assert!(fence.devices.is_empty() && fence.levels.is_empty() && fence.files.is_none());
    let [policy] = fence.policies.as_slice() else {
        panic!("{:?}", fence.policies);
    };
    assert_eq!(
        (policy.name.as_str(), policy.action),
        ("default", Some(Action::Reboot))
    );
    assert!(policy.escalate && policy.processes.is_empty() && policy.triggers.is_empty());
}

#[test]
fn an_agent_has_ports_delays_parameters_and_secrets() {
    let fence = parse(&format!(
        "{APC}peers = [\"ssu1\", \"ssu2\"]\ndelay = \"1s\"\ndelays = {{ ssu1 = \"0s\" }}\n\
         delay_random = \"2s\"\noff_timeout = \"20s\"\nretries = 0\nconcurrency = 4\nparallel = true\n\
         unfence = \"on-target\"\nport_parameter = \"uuid\"\n\
         secrets = {{ password = \"/etc/hax/apc\" }}\n\
         [fence.device.parameters]\nip = \"10.0.0.1\"\nipport = 23\nssl = true\nplug = \"x\"\n"
    ))
    .unwrap();
    let [device] = fence.devices.as_slice() else {
        panic!("{:?}", fence.devices);
    };
    assert_eq!(device.hosts.check, HostCheck::Static);
    let ports: Vec<_> = device
        .hosts
        .map
        .iter()
        .map(|(n, p)| (n.as_str(), p.as_str()))
        .collect();
    assert_eq!(ports, [("ssu1", "1"), ("ssu2", "2")]);
    assert_eq!(device.peers, [node("ssu1"), node("ssu2")]);
    assert_eq!((device.delay.base, device.delay.random), (secs(1), secs(2)));
    assert_eq!(device.delay.per_node.get(&node("ssu1")), Some(&secs(0)));
    assert_eq!(
        (device.timeouts.off, device.timeouts.on),
        (secs(20), secs(60))
    );
    assert_eq!(
        (device.retries, device.concurrency, device.parallel),
        (0, 4, true)
    );
    assert_eq!(device.unfence, Unfence::AutomaticOnTarget);
    let DeviceKind::Agent(agent) = &device.kind else {
        panic!("{:?}", device.kind);
    };
    assert_eq!(agent.program, Path::new("fence_apc"));
    let given: Vec<_> = agent
        .parameters
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let expected = [
        ("ip", "10.0.0.1"),
        ("ipport", "23"),
        ("plug", "x"),
        ("ssl", "true"),
    ];
    assert_eq!(given, expected);
    assert_eq!(agent.secrets["password"].path(), Path::new("/etc/hax/apc"));
    let debug = format!("{fence:?}");
    assert!(
        !debug.contains("10.0.0.1") && !debug.contains("/etc/hax/apc"),
        "{debug}"
    );
}

#[test]
fn lists_and_maps_are_read_as_pacemaker_writes_them() {
    let fence = parse(
        "[[fence.device]]\nname = \"a\"\ntype = \"agent\"\nagent = \"/opt/fence_x\"\n\
         host_list = \"n1 n2,n3; n4\"\nhost_map = \"n5:1;n6:2,3 n7:a;\"\n",
    )
    .unwrap();
    let hosts = &fence.devices[0].hosts;
    assert_eq!(hosts.list, ["n1", "n2", "n3", "n4"].map(node));
    let ports: Vec<_> = hosts
        .map
        .iter()
        .map(|(n, p)| (n.as_str(), p.as_str()))
        .collect();
    assert_eq!(ports, [("n5", "1"), ("n6", "2,3"), ("n7", "a")]);
}

#[test]
fn every_type_can_be_given() {
    let fence = parse(
        "[fence.files]\nowners = [1000, 1001]\n\
         [[fence.device]]\nname = \"f\"\ntype = \"files\"\nhost_check = \"none\"\n\
         request_dir = \"/run/f/req\"\nresponse_dir = \"/run/f/res\"\n\
         [[fence.device]]\nname = \"p\"\ntype = \"process\"\noff_timeout = \"5s\"\n\
         [[fence.device]]\nname = \"c\"\ntype = \"command\"\noff = [\"/bin/off\", \"{target}\"]\n\
         list = [\"/bin/list\"]\n\
         [[fence.device]]\nname = \"w\"\ntype = \"watchdog\"\nhosts = [\"n1\"]\n\
         [[fence.device]]\nname = \"w2\"\ntype = \"watchdog\"\nhosts = [\"n2\"]\ntimeout = \"30s\"\n\
         stop_max = \"10s\"\naction = \"command\"\ncommand = [\"/sbin/halt\", \"-f\"]\n\
         [[fence.device]]\nname = \"d\"\ntype = \"dummy\"\nsucceed = false\ntakes = \"1s\"\nhosts = [\"n1\"]\n",
    )
    .unwrap();
    let files = fence.files.as_ref().unwrap();
    assert_eq!(
        files.request_dir,
        Path::new("/var/run/fence_recorder/requests")
    );
    assert_eq!(files.owners, [1000, 1001]);
    let checks: Vec<_> = fence
        .devices
        .iter()
        .map(|device| device.hosts.check)
        .collect();
    use HostCheck::{Dynamic, None, Static};
    assert_eq!(checks, [None, None, Dynamic, Static, Static, Static]);
    let watchdogs = fence
        .devices
        .iter()
        .filter_map(|device| match &device.kind {
            DeviceKind::Watchdog(watchdog) => Some((watchdog, device.timeouts.off)),
            _ => Option::None,
        });
    let watchdogs: Vec<_> = watchdogs.collect();
    assert_eq!(watchdogs[0].0.timeout, secs(20));
    assert_eq!(watchdogs[0].0.action, WatchdogAction::Reboot);
    assert_eq!(watchdogs[1].0.timeout, secs(30));
    assert_eq!(watchdogs[1].1, secs(35));
    assert!(matches!(&watchdogs[1].0.action, WatchdogAction::Command(c) if c.len() == 2));
}

#[test]
fn levels_and_policies_are_read() {
    let fence = parse(&format!(
        "{APC}[[fence.level]]\ntarget = \"ssu1\"\nlevel = 1\ndevices = [\"apc\"]\n\
         [[fence.level]]\npattern = \"ssu[0-9]+\"\nlevel = 1\ndevices = [\"apc\"]\n\
         [[fence.level]]\nattribute = \"rack=a=b\"\nlevel = 9\ndevices = [\"apc\"]\n\
         [[fence.policy]]\nname = \"ios\"\nprocesses = [\"ios\", \"<7200000000000001:2>\"]\n\
         on = [\"check\", \"node-lost\"]\nafter = \"0s\"\naction = \"none\"\nescalate = false\n\
         [[fence.policy]]\nname = \"rest\"\n"
    ))
    .unwrap();
    let [name, pattern, attribute] = fence.levels.as_slice() else {
        panic!("{:?}", fence.levels);
    };
    assert!(matches!(&name.target, LevelTarget::Name(name) if *name == node("ssu1")));
    let LevelTarget::Pattern(pattern) = &pattern.target else {
        panic!("{pattern:?}");
    };
    assert!(pattern.is_match("ssu12") && !pattern.is_match("xssu1") && !pattern.is_match("ssu1x"));
    let LevelTarget::Attribute { key, value } = &attribute.target else {
        panic!("{attribute:?}");
    };
    assert_eq!(
        (key.as_str(), value.as_str(), attribute.level),
        ("rack", "a=b", 9)
    );
    let ios = &fence.policies[0];
    assert_eq!(ios.processes, ["ios", "0x7200000000000001:0x2"]);
    assert_eq!(ios.triggers, [Trigger::Check, Trigger::NodeLost]);
    assert_eq!((ios.action, ios.escalate), (None, false));
    assert_eq!(fence.policies[1].action, Some(Action::Reboot));
}
