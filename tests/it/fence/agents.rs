//! Debian's fence agents through the executor.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hax::config::fence::{DeviceKind, HostCheck};
use hax::fence::executor::{Listed, Power};
use hax::fence::model::{Action, DeviceName, RunResult, Target};

use super::installed::installed;
use super::ipmi::Bmc;
use super::powerman::Powerman;
use super::runs::{LONG, agent, device, executor, node, run, shell, timeouts};

const NODES: [&str; 3] = ["ssu1", "ssu2", "ssu3"];

fn target(name: &str) -> Target {
    Target::Node(node(name))
}

fn name(name: &str) -> DeviceName {
    name.parse().unwrap()
}

fn powerman_device(powerman: &Powerman) -> hax::config::fence::DeviceConfig {
    let mut device = device("pdu", powerman.program(), &[]);
    agent(&mut device).parameters = powerman.parameters();
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_controller_switches_the_node_that_is_meant_and_no_other() {
    let Some(powerman) = Powerman::start_on(&NODES).await else {
        return;
    };
    let executor = executor(vec![powerman_device(&powerman)]).await.unwrap();
    let traits = executor.traits()[&name("pdu")];
    assert!(traits.on && traits.reboot && traits.status && !traits.list && !traits.automatic);
    let on = || NODES.map(|node| powerman.is_on(node));
    assert_eq!(on(), [true; 3]);

    let ended = executor.run(run("pdu", Action::Off, "ssu2")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert_eq!(on(), [true, false, true]);
    // What is off already is a success.
    let ended = executor.run(run("pdu", Action::Off, "ssu2")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    let status = async |node| executor.status(&name("pdu"), &target(node)).await;
    for (node, power) in [("ssu1", Power::On), ("ssu2", Power::Off)] {
        let (ended, is) = status(node).await;
        assert_eq!((ended.result, is), (RunResult::Success, power), "{ended:?}");
    }

    let ended = executor.run(run("pdu", Action::On, "ssu2")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert_eq!(on(), [true; 3]);
    powerman.switch("--off", "ssu3");
    let ended = executor.run(run("pdu", Action::Reboot, "ssu3")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert_eq!(on(), [true; 3]);

    assert_eq!(executor.ping(&name("pdu")).await.result, RunResult::Success);
    let runs = powerman.agent().fences();
    let did: Vec<_> = runs
        .iter()
        .map(|run| (run.action.as_str(), run.plug.as_str(), run.node.as_str()))
        .collect();
    assert_eq!(
        did,
        [
            ("off", "ssu2", "ssu2"),
            ("off", "ssu2", "ssu2"),
            ("on", "ssu2", "ssu2"),
            ("reboot", "ssu3", "ssu3"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_translated_and_what_can_be_fenced_is_found_out() {
    let Some(mut powerman) = Powerman::start_on(&NODES).await else {
        return;
    };
    let mut ported = powerman_device(&powerman);
    ported.hosts.check = HostCheck::Static;
    ported.hosts.map = BTreeMap::from([(node("a"), "ssu1".to_owned())]);
    let mut by_status = powerman_device(&powerman);
    by_status.name = name("by-status");
    by_status.hosts.check = HostCheck::Status;
    // The agent has no list: what the status says counts.
    let mut dynamic = powerman_device(&powerman);
    dynamic.name = name("dynamic");
    dynamic.hosts.check = HostCheck::Dynamic;
    let executor = executor(vec![ported, by_status, dynamic]).await.unwrap();

    let ended = executor.run(run("pdu", Action::Off, "a")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert!(!powerman.is_on("ssu1"));
    let last = powerman.agent().fences().pop().unwrap();
    assert_eq!((last.plug.as_str(), last.node.as_str()), ("ssu1", "a"));

    let nodes = ["ssu1", "ssu3", "stranger"].map(node);
    for device in ["by-status", "dynamic"] {
        let reach = executor.reach(&name(device), &nodes).await;
        assert_eq!(reach.targets, Some(vec![node("ssu1"), node("ssu3")]));
        assert!(reach.verified.is_some() && reach.drilled.len() == 2);
    }
    let reach = executor.reach(&name("pdu"), &["a", "b"].map(node)).await;
    assert_eq!(reach.targets, Some(vec![node("a")]));
    assert!(reach.drilled.contains_key(&node("a")), "{reach:?}");

    powerman.stop();
    let reach = executor.reach(&name("pdu"), &nodes).await;
    assert!(
        reach.verified.is_none() && reach.error.is_some(),
        "{reach:?}"
    );
    let reach = executor.reach(&name("dynamic"), &nodes).await;
    assert!(reach.verified.is_none() && reach.targets.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_not_reached_is_told_from_one_that_does_not_obey() {
    let Some(mut powerman) = Powerman::start_on(&NODES).await else {
        return;
    };
    let executor = executor(vec![powerman_device(&powerman)]).await.unwrap();
    powerman.stop();
    let ended = executor.run(run("pdu", Action::Off, "ssu1")).await;
    assert_eq!(ended.result, RunResult::Unreachable, "{ended:?}");
    assert_eq!(
        executor.ping(&name("pdu")).await.result,
        RunResult::Unreachable
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bmc_is_switched_and_its_password_is_seen_nowhere() {
    let password = "hunter2=#x'y";
    let Some(bmc) = Bmc::start(password).await else {
        return;
    };
    let port = bmc.port.to_string();
    let parameters = [
        ("ip", "127.0.0.1"),
        ("ipport", port.as_str()),
        ("username", "admin"),
        ("lanplus", "1"),
        ("cipher", "3"),
        ("power_wait", "0"),
        ("verbose", "1"),
    ];
    let program = Path::new("fence_ipmilan");
    let with = |device: &str, password: &str| {
        let file = bmc.path(device);
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let mut config = super::runs::device(device, program, &parameters);
        agent(&mut config).secrets = super::runs::secret("password", &file);
        config
    };
    let executor = executor(vec![with("bmc", password), with("wrong", "not-it")])
        .await
        .unwrap();
    let input = executor.input(&name("bmc"), &target("ssu1"), Action::Off);
    assert!(input.contains(&("password".to_owned(), "***".to_owned())));

    let (ended, power) = executor.status(&name("wrong"), &target("ssu1")).await;
    assert_eq!(
        (ended.result, power),
        (RunResult::Unreachable, Power::Unknown)
    );
    let ended = executor.run(run("wrong", Action::Off, "ssu1")).await;
    assert_eq!(ended.result, RunResult::Unreachable, "{ended:?}");
    assert!(!ended.evidence.contains("not-it"), "{ended:?}");
    assert!(bmc.is_on());

    let ended = executor.run(run("bmc", Action::Off, "ssu1")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert!(!ended.evidence.contains("hunter2"), "{ended:?}");
    assert!(!bmc.is_on());
    let (_, power) = executor.status(&name("bmc"), &target("ssu1")).await;
    assert_eq!(power, Power::Off);
    let ended = executor.run(run("bmc", Action::On, "ssu1")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert!(bmc.is_on());

    // A secret is read when it is needed.
    std::fs::remove_file(bmc.path("bmc")).unwrap();
    let ended = executor.run(run("bmc", Action::Off, "ssu1")).await;
    assert_eq!(ended.result, RunResult::Internal, "{ended:?}");
    assert!(bmc.is_on());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_port_and_one_that_fails() {
    if !installed(&["fence_dummy"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("status").display().to_string();
    std::fs::write(&file, "on").unwrap();
    let program = Path::new("fence_dummy");
    let works = device("works", program, &[("status_file", &file)]);
    let fails = device("fails", program, &[("type", "fail")]);
    let mut slow = device("slow", program, &[("delay", "100")]);
    slow.timeouts = timeouts(Duration::from_millis(500));
    let executor = executor(vec![works, fails, slow]).await.unwrap();
    let input = executor.input(&name("works"), &target("ssu1"), Action::Off);
    let keys: Vec<&str> = input.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["action", "nodename", "status_file"]);

    for (action, text) in [
        (Action::Off, "off"),
        (Action::On, "on"),
        (Action::Off, "off"),
    ] {
        let ended = executor.run(run("works", action, "ssu1")).await;
        assert_eq!(ended.result, RunResult::Success, "{ended:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    let ended = executor.run(run("fails", Action::Off, "ssu1")).await;
    assert_ne!(ended.result, RunResult::Success, "{ended:?}");
    let ended = executor.run(run("slow", Action::Off, "ssu1")).await;
    assert_eq!(ended.result, RunResult::Timeout, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_with_a_device_is_told_at_once() {
    if !installed(&["fence_powerman", "fence_ipmilan"]) {
        return;
    }
    let powerman = Path::new("fence_powerman");
    let bad = [
        ("ipp", "127.0.0.1"),
        ("ipport", "many"),
        ("quiet", "perhaps"),
        ("login_timeout", "5s"),
        ("action", "off"),
        ("port", "ssu1"),
        // The old name of `ip` is fine.
        ("ipaddr", "127.0.0.1"),
    ];
    let method = [("ip", "127.0.0.1"), ("method", "gently")];
    let errors = executor(vec![
        device("pdu", powerman, &bad),
        device("bmc", Path::new("fence_ipmilan"), &method),
        device("none", Path::new("fence_nothing"), &[]),
        device("no-agent", Path::new("/bin/true"), &[]),
    ])
    .await
    .err()
    .unwrap();
    let mut errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.sort();
    let expected = [
        (
            "bmc].parameters.method",
            "\"gently\" is none of onoff, cycle",
        ),
        ("no-agent].agent", "metadata"),
        ("none].agent", "No such file"),
        ("pdu].parameters.action", "hax sets action itself"),
        ("pdu].parameters.ipp", "ip"),
        ("pdu].parameters.ipport", "whole number"),
        ("pdu].parameters.login_timeout", "seconds"),
        ("pdu].parameters.port", "ports"),
        ("pdu].parameters.quiet", "boolean"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (place, words)) in errors.iter().zip(expected) {
        let place = format!("fence.device[{place}: ");
        assert!(
            error.starts_with(&place) && error.contains(words),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_and_an_alias_becomes_its_port() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lister");
    let log = dir.path().join("off");
    let text = format!(
        "#!/bin/sh\ninput=$(cat)\ncase $input in\n\
         *action=metadata*) echo '<resource-agent name=\"l\"><parameters><parameter \
         name=\"port\"/></parameters><actions><action name=\"off\"/><action name=\"list\"/>\
         <action name=\"monitor\"/></actions></resource-agent>' ;;\n\
         *action=list*) printf '1,ssu1\\n2,ssu2\\n' ;;\n\
         *action=off*) printf '%s' \"$input\" > '{}' ;;\nesac\n",
        log.display()
    );
    super::installed::script(&path, &text);
    let mut lister = device("lister", &path, &[]);
    lister.hosts.check = HostCheck::Dynamic;
    let executor = executor(vec![lister]).await.unwrap();
    let (ended, listed) = executor.list(&name("lister")).await;
    assert_eq!(ended.result, RunResult::Success);
    let of = |port: &str, alias: &str| Listed {
        port: port.to_owned(),
        alias: Some(alias.to_owned()),
    };
    assert_eq!(listed, [of("1", "ssu1"), of("2", "ssu2")]);
    let reach = executor.reach(&name("lister"), &NODES.map(node)).await;
    assert_eq!(reach.targets, Some(vec![node("ssu1"), node("ssu2")]));
    let ended = executor.run(run("lister", Action::Off, "ssu2")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    let input = std::fs::read_to_string(log).unwrap();
    assert_eq!(input, "action=off\nnodename=ssu2\nport=2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_a_monitor_is_not_at_fault() {
    let plain = shell("plain", "exit 0", LONG);
    let telling = |name: &str, code: &str| {
        let mut device = shell(name, "exit 0", LONG);
        device.hosts.check = HostCheck::Static;
        device.hosts.list = vec![node("ssu1")];
        if let DeviceKind::Command(command) = &mut device.kind {
            let status = ["/bin/sh", "-c", code];
            command.status = Some(status.map(str::to_owned).to_vec());
        }
        device
    };
    let devices = vec![plain, telling("on", "exit 0"), telling("mute", "exit 1")];
    let executor = executor(devices).await.unwrap();
    let nodes = NODES.map(node);
    let reach = executor.reach(&name("plain"), &nodes).await;
    assert_eq!(
        (reach.error, reach.verified, reach.targets),
        (None, None, None)
    );
    let reach = executor.reach(&name("on"), &nodes).await;
    assert!(
        reach.error.is_none() && reach.verified.is_some(),
        "{reach:?}"
    );
    assert_eq!(reach.targets, Some(vec![node("ssu1")]));
    let reach = executor.reach(&name("mute"), &nodes).await;
    assert!(
        reach.error.is_some() && reach.verified.is_none(),
        "{reach:?}"
    );
    // Who asks for it is told that it cannot be done.
    let ping = executor.ping(&name("plain")).await;
    assert_eq!(ping.result, RunResult::Internal);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_tells_of_its_secrets_is_blotted_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("teller");
    let text = "#!/bin/sh\ninput=$(cat)\ncase $input in\n\
         *action=metadata*) echo '<resource-agent name=\"t\"><parameters><parameter \
         name=\"password\"/><parameter name=\"kg\"/></parameters><actions><action \
         name=\"off\"/></actions></resource-agent>' ;;\n\
         *) echo \"$input\" >&2; echo \"$input\"; exit 1 ;;\nesac\n";
    super::installed::script(&path, text);
    let file = dir.path().join("secret");
    std::fs::write(&file, "of = the # file\n").unwrap();
    let mut teller = device("teller", &path, &[("kg", "of-the-config")]);
    agent(&mut teller).secrets = super::runs::secret("password", &file);
    let executor = executor(vec![teller]).await.unwrap();
    let ended = executor.run(run("teller", Action::Off, "ssu1")).await;
    assert_eq!(ended.result, RunResult::NotAcknowledged, "{ended:?}");
    assert!(!ended.evidence.contains("of-the-config"), "{ended:?}");
    assert!(!ended.evidence.contains("# file"), "{ended:?}");
    for words in ["stderr: ", "stdout: ", "password=***", "kg=***"] {
        assert!(ended.evidence.contains(words), "{words}: {ended:?}");
    }
    let input = executor.input(&name("teller"), &target("ssu1"), Action::Off);
    let hidden = |name: &str| input.contains(&(name.to_owned(), "***".to_owned()));
    assert!(hidden("password") && hidden("kg"), "{input:?}");
}
