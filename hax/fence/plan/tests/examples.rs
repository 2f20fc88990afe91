//! Plans of clusters as they are built.

use std::time::Duration;

use super::super::{report, worst_ms};
use super::{FABRIC, POWER, World, agent, dummy, level, plan};
use crate::fence::executor::Traits;
use crate::fence::model::{Action, NodeName, Options, Refusal, Target};

use Action::{Off, On, Reboot};

const ANY: &str = "host_check = \"none\"";

#[test]
fn without_levels_each_device_is_an_alternative_of_its_own() {
    let lines = [
        dummy("b", "hosts = [\"n1\"]"),
        dummy("a", ANY),
        dummy("other", "hosts = [\"n2\"]"),
        agent("z", ""),
        agent("y", ""),
    ];
    let world = World::new(&lines.concat())
        .published("n2", "y", Some(&["n2"]))
        .published("n3", "z", None);
    // `y` lists other nodes only, and what `z` lists nobody knows.
    assert_eq!(world.short("n1", Off), "0=0:a:off; 0=0:b:off; 0=0:z:off");
    let world = world.published("n3", "y", Some(&["n1"]));
    assert_eq!(
        world.short("n1", Off),
        "0=0:a:off; 0=0:b:off; 0=0:y:off; 0=0:z:off"
    );
}

#[test]
fn what_a_peer_that_may_not_use_the_device_has_published_does_not_count() {
    let world = World::new(&agent("a", "peers = [\"n2\"]"))
        .published("n3", "a", Some(&["n1"]))
        .published("n2", "a", Some(&["n3"]));
    let refused = world.plan("n1", Off).unwrap_err();
    assert_eq!(refused.refusal, Refusal::NoDevice);
    assert_eq!(refused.detail, "no device can off n1");
}

#[test]
fn a_name_counts_before_a_pattern_and_a_pattern_before_an_attribute() {
    let lines = [
        dummy("a", ANY),
        dummy("b", ANY),
        dummy("c", ANY),
        level("attribute = \"rack=1\"", 1, &["c"]),
        level("pattern = \"n[12]\"", 2, &["b"]),
        level("pattern = \"n.\"", 1, &["c"]),
        level("pattern = \"n[12]\"", 1, &["c"]),
        level("target = \"n1\"", 3, &["b"]),
        level("target = \"n1\"", 1, &["a"]),
    ];
    let mut world = World::new(&lines.concat());
    assert_eq!(world.short("n1", Off), "1=0:a:off; 3=0:b:off");
    assert_eq!(world.short("n2", Off), "1=0:c:off; 2=0:b:off");
    assert_eq!(world.short("n3", Off), "1=0:c:off");
    world.config.levels.truncate(1);
    assert_eq!(world.short("n3", Off), "0=0:a:off; 0=0:b:off; 0=0:c:off");
    let n3: NodeName = "n3".parse().unwrap();
    let rack = ("rack".to_owned(), "1".to_owned());
    world.nodes.insert(n3, [rack].into());
    assert_eq!(world.short("n3", Off), "1=0:c:off");
}

#[test]
fn a_reboot_through_several_devices_is_all_off_then_all_on() {
    let lines = [
        agent("psu1", "hosts = [\"n1\"]"),
        agent("psu2", "hosts = [\"n1\"]"),
        level("target = \"n1\"", 1, &["psu1", "psu2"]),
    ];
    let world = World::new(&lines.concat())
        .knows("psu1", POWER)
        .knows("psu2", POWER);
    assert_eq!(
        world.short("n1", Reboot),
        "1=0:psu1:off 1:psu2:off (2:psu1:on) (3:psu2:on)"
    );
    let without_on = Traits { on: false, ..POWER };
    let world = world.knows("psu1", without_on).knows("psu2", FABRIC);
    assert_eq!(world.short("n1", Reboot), "1=0:psu1:off 1:psu2:off");
}

#[test]
fn a_reboot_through_one_device_is_what_it_knows() {
    let world = World::new(&agent("a", ANY));
    // Nobody has read the metadata here: it may be what cuts off from storage.
    assert_eq!(world.short("n1", Reboot), "0=0:a:off");
    let world = world.knows("a", POWER);
    assert_eq!(world.short("n1", Reboot), "0=0:a:reboot");
    let without_reboot = Traits {
        reboot: false,
        ..POWER
    };
    let world = world.knows("a", without_reboot);
    assert_eq!(world.short("n1", Reboot), "0=0:a:off (1:a:on)");
    let fabric = Traits {
        reboot: true,
        ..FABRIC
    };
    let world = world.knows("a", fabric);
    assert_eq!(world.short("n1", Reboot), "0=0:a:off");
}

#[test]
fn parallel_neighbours_are_one_group() {
    let parallel = format!("{ANY}\nparallel = true");
    let lines = [
        dummy("a", &parallel),
        dummy("b", &parallel),
        dummy("c", ANY),
        dummy("d", &parallel),
        level("target = \"n1\"", 1, &["a", "b", "c", "d"]),
    ];
    let world = World::new(&lines.concat());
    assert_eq!(world.short("n1", Off), "1=0:a:off 0:b:off 1:c:off 2:d:off");
    assert_eq!(
        world.short("n1", Reboot),
        "1=0:a:off 0:b:off 1:c:off 2:d:off (3:a:on) (4:b:on) (5:c:on) (6:d:on)"
    );
}

#[test]
fn a_level_with_a_device_that_does_not_fence_the_target_is_left_out() {
    let lines = [
        dummy("a", "hosts = [\"n2\"]"),
        dummy("b", ANY),
        level("pattern = \"n.\"", 1, &["a", "b"]),
        level("pattern = \"n.\"", 2, &["b"]),
    ];
    let mut world = World::new(&lines.concat());
    assert_eq!(world.short("n2", Off), "1=0:a:off 1:b:off; 2=0:b:off");
    assert_eq!(world.short("n1", Off), "2=0:b:off");
    world.config.levels.truncate(1);
    let refused = world.plan("n1", Off).unwrap_err();
    assert_eq!(refused.refusal, Refusal::NoDevice);
}

#[test]
fn a_watchdog_counts_while_it_is_armed_within_its_bound_and_comes_last() {
    let lines = [
        dummy("z", ANY),
        "[[fence.device]]\nname = \"w\"\ntype = \"watchdog\"\n".to_owned(),
    ];
    let world = World::new(&lines.concat());
    assert_eq!(world.short("n1", Reboot), "0=0:z:off (1:z:on)");
    let world = world.armed("n1", 20_001);
    assert_eq!(world.short("n1", Reboot), "0=0:z:off (1:z:on)");
    let world = world.armed("n1", 20_000);
    assert_eq!(world.short("n1", Reboot), "0=0:z:off (1:z:on); 0=0:w:off");
    let plan = world.plan("n1", Off).unwrap();
    assert_eq!(plan.levels[1].steps[0].run_max_ms, 25_000);
}

#[test]
fn a_process_is_killed_on_its_own_node_and_by_nothing_else() {
    let lines = [
        dummy("a", ANY),
        "[[fence.device]]\nname = \"k\"\ntype = \"process\"\noff_timeout = \"2s\"\n".to_owned(),
    ];
    let world = World::new(&lines.concat());
    let process = "0x7200000000000001:0x2@n1";
    assert_eq!(world.short(process, Off), "0=0:k:off@");
    assert_eq!(world.short(process, Reboot), "0=0:k:off@");
    assert_eq!(
        world.plan(process, On).unwrap_err().refusal,
        Refusal::NoDevice
    );
    assert_eq!(world.short("n1", Off), "0=0:a:off");
}

#[test]
fn on_of_a_node_that_is_up_is_its_unfencing_only() {
    let lines = [
        agent("fabric", "hosts = [\"n1\", \"n2\"]"),
        agent("power", "hosts = [\"n1\", \"n2\"]"),
        level("target = \"n1\"", 1, &["power"]),
    ];
    let switch = Traits {
        on_target: false,
        ..FABRIC
    };
    let world = World::new(&lines.concat()).knows("power", POWER);
    let on_target = world.knows("fabric", FABRIC);
    // Off: what runs on the node itself has to wait until it is up.
    assert_eq!(on_target.short("n1", On), "1=0:power:on");
    let up = on_target.up("n1");
    assert_eq!(up.short("n1", On), "0=0:fabric:on@");
    let switched = World::new(&lines.concat())
        .knows("power", POWER)
        .knows("fabric", switch);
    assert_eq!(switched.short("n1", On), "1=0:power:on 1:fabric:on");
}

#[test]
fn one_device_can_be_asked_for() {
    let lines = [
        dummy("a", ANY),
        dummy("b", "hosts = [\"n2\"]"),
        level("target = \"n1\"", 1, &["a"]),
    ];
    let world = World::new(&lines.concat());
    let with = |name: &str, node: &str| {
        let options = Options {
            device: Some(name.parse().unwrap()),
            ..Options::default()
        };
        let target: Target = node.parse().unwrap();
        let plan = plan(&world.facts(), &target, Off, &options, 0);
        plan.map(|plan| super::short(&plan))
            .map_err(|refused| refused.to_string())
    };
    assert_eq!(with("b", "n2"), Ok("0=0:b:off".to_owned()));
    let none = "no device is configured for this target: ";
    assert_eq!(with("b", "n1"), Err(format!("{none}b cannot off n1")));
    assert_eq!(
        with("c", "n1"),
        Err(format!("{none}no device c is configured"))
    );
    assert_eq!(
        world.plan("n9", Off).unwrap_err().refusal,
        Refusal::UnknownTarget
    );
}

#[test]
fn delays_are_before_off_and_of_the_target() {
    let lines = dummy(
        "a",
        "hosts = [\"n1\", \"n2\"]\ndelay = \"5s\"\ndelays = { n2 = \"0s\" }\n\
         delay_random = \"1s\"\nretries = 2\noff_timeout = \"7s\"\nkill_grace = \"1s\"",
    );
    let world = World::new(&lines);
    let delays = |node| {
        let plan = world.plan(node, Reboot).unwrap();
        let steps = plan.levels[0].steps.iter();
        let delays: Vec<_> = steps.map(|s| (s.delay_ms, s.delay_max_ms)).collect();
        (plan.epoch, delays)
    };
    assert_eq!(delays("n1"), (7, vec![(5000, 1000), (0, 0)]));
    assert_eq!(delays("n2"), (7, vec![(0, 1000), (0, 0)]));
    let plan = world.plan("n1", Off).unwrap();
    let step = &plan.levels[0].steps[0];
    assert_eq!((step.tries, step.run_max_ms), (3, 8000));
    // 6 s of delay, 5 times 13 s until it starts, 3 times 8 s and 5 s.
    let worst = 6000 + 5 * 13_000 + 3 * 13_000;
    assert_eq!(worst_ms(&plan, Duration::from_secs(3)), worst);
    // With a longer lock delay, 4 s: 5 times 14 s, and 3 times 8 s, 2 s in which it is spawned, and 4 s.
    let worst = 6000 + 5 * 14_000 + 3 * 14_000;
    assert_eq!(worst_ms(&plan, Duration::from_secs(4)), worst);
}

#[test]
fn the_worst_case_comes_to_the_last_level_and_to_what_is_not_required_once() {
    let lines = [
        dummy("a", &format!("{ANY}\nretries = 0")),
        dummy("b", &format!("{ANY}\nretries = 0")),
    ];
    let plan = World::new(&lines.concat()).plan("n1", Reboot).unwrap();
    assert_eq!(plan.levels.len(), 2);
    let step = 3 * 15_000 + 65_000 + 2000 + 5000;
    // Off fails at the last moment, then off and on of the other device.
    assert_eq!(worst_ms(&plan, Duration::from_secs(5)), 3 * step);
}

#[test]
fn a_report_has_every_step_and_why_there_is_none() {
    let world = World::new(&dummy("a", "hosts = [\"n1\"]"));
    let report = |target: &str| {
        let target = target.parse().unwrap();
        report(
            &world.facts(),
            &target,
            Off,
            vec!["held".to_owned()],
            |device, target, action| {
                let said = format!("{device} {target} {}", action.as_str());
                vec![("said".to_owned(), said)]
            },
            |step, _| vec![("n2".parse().unwrap(), step.on_target)],
        )
    };
    let n1 = report("n1");
    assert_eq!(n1.gates, ["held"]);
    assert_eq!(n1.plan.map(|plan| plan.levels.len()), Some(1));
    let [step] = n1.steps.as_slice() else {
        panic!("{:?}", n1.steps);
    };
    assert_eq!(
        (step.level, step.action, step.worst_ms),
        (0, Off, n1.worst_ms)
    );
    assert_eq!(step.peers, [("n2".parse().unwrap(), false)]);
    assert_eq!(step.input, [("said".to_owned(), "a n1 off".to_owned())]);
    let n2 = report("n2");
    assert_eq!((n2.plan, n2.worst_ms), (None, 0));
    let refused = "no device is configured for this target: no device can off n2";
    assert_eq!(n2.gates, ["held", refused]);
}
