//! What holds for every plan.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{fit, worst_ms};
use super::{World, agent, dummy, level};
use crate::fence::executor::Traits;
use crate::fence::model::{Action, Level, NodeName, Plan, Step};

#[derive(Debug, Clone)]
struct Device {
    is_agent: bool,
    hosts: Option<Vec<usize>>,
    parallel: bool,
    unfence: &'static str,
    retries: u8,
    traits: Option<Traits>,
}

fn device() -> impl Strategy<Value = Device> {
    let traits = any::<(bool, bool, bool, bool)>();
    let traits = traits.prop_map(|(on, reboot, automatic, on_target)| Traits {
        on,
        reboot,
        automatic,
        on_target,
        ..Traits::default()
    });
    (
        any::<bool>(),
        proptest::option::of(proptest::sample::subsequence(vec![1, 2, 3], 1..=3)),
        any::<bool>(),
        proptest::sample::select(vec!["metadata", "never", "automatic", "on-target"]),
        0..=5_u8,
        proptest::option::of(traits),
    )
        .prop_map(
            |(is_agent, hosts, parallel, unfence, retries, traits)| Device {
                is_agent,
                hosts,
                parallel,
                unfence,
                retries,
                traits,
            },
        )
}

/// A cluster: devices `d0`, `d1`, …, perhaps a watchdog, and levels of some of them.
fn world() -> impl Strategy<Value = World> {
    let devices = proptest::collection::vec(device(), 1..6);
    let levels = proptest::collection::btree_map(1..=9_u8, any::<u8>(), 0..4);
    (devices, levels, any::<bool>(), any::<bool>()).prop_map(|(devices, levels, armed, is_up)| {
        let mut lines =
            "[[fence.device]]\nname = \"w\"\ntype = \"watchdog\"\nhosts = [\"n1\"]\n".to_owned();
        for (nr, device) in devices.iter().enumerate() {
            let hosts = match &device.hosts {
                Some(hosts) => {
                    let names: Vec<_> = hosts.iter().map(|nr| format!("n{nr}")).collect();
                    format!("hosts = {names:?}")
                }
                None if device.is_agent => String::new(),
                None => "host_check = \"none\"".to_owned(),
            };
            let rest = format!(
                "{hosts}\nparallel = {}\nunfence = {:?}\nretries = {}",
                device.parallel, device.unfence, device.retries
            );
            let name = format!("d{nr}");
            lines += &if device.is_agent {
                agent(&name, &rest)
            } else {
                dummy(&name, &rest)
            };
        }
        for (number, bits) in levels {
            let used = (0..devices.len()).filter(|nr| bits & (1 << nr) != 0);
            let mut names: Vec<_> = used.map(|nr| format!("d{nr}")).collect();
            if bits & 0x80 != 0 || names.is_empty() {
                names.push("w".to_owned());
            }
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            lines += &level("pattern = \"n.\"", number, &names);
        }
        let mut world = World::new(&lines);
        for (nr, device) in devices.iter().enumerate() {
            if let Some(traits) = device.traits {
                world = world.knows(&format!("d{nr}"), traits);
            }
        }
        if armed {
            world = world.armed("n1", 20_000);
        }
        if is_up { world.up("n1") } else { world }
    })
}

fn action() -> impl Strategy<Value = Action> {
    proptest::sample::select(vec![Action::Off, Action::On, Action::Reboot])
}

fn groups_are_contiguous(world: &World, level: &Level) {
    let mut last: Option<&Step> = None;
    for step in &level.steps {
        match last {
            None => assert_eq!(step.group, 0),
            Some(last) if last.group == step.group => {
                for step in [last, step] {
                    let device = world.config.device(&step.device).unwrap();
                    assert!(device.parallel && step.action == Action::Off);
                }
            }
            Some(last) => assert_eq!(step.group, last.group + 1),
        }
        last = Some(step);
    }
}

/// All that is off is off before anything is on, and only what was off is switched on.
fn is_a_fence(level: &Level) {
    let acts = |step: &&Step, action| step.action == action;
    let first_on = level
        .steps
        .iter()
        .position(|step| step.action == Action::On);
    let offs = level.steps.get(..first_on.unwrap_or(level.steps.len()));
    let offs = offs.unwrap();
    assert!(!offs.is_empty());
    assert!(
        offs.iter()
            .all(|step| step.required && step.action.fences())
    );
    let names: BTreeSet<_> = offs.iter().map(|step| &step.device).collect();
    assert_eq!(names.len(), offs.len());
    let ons: Vec<_> = level.steps.iter().skip(offs.len()).collect();
    for on in &ons {
        assert!(acts(on, Action::On) && !on.required);
        assert!(names.contains(&on.device));
    }
    if offs.iter().any(|step| step.action == Action::Reboot) {
        assert_eq!(level.steps.len(), 1);
    }
}

/// How long an operation takes in which each run ends as the choices say: begun or not, lost or not, a
/// success or not, the steps of a group together or alone. A harsh one knows no success, and everything takes
/// as long as it can.
fn walk(plan: &Plan, lock_delay: u64, harsh: bool, mut choice: impl FnMut() -> u64) -> u64 {
    let mut took = 0;
    for level in &plan.levels {
        let mut states: Vec<_> = level.steps.iter().map(|_| (false, 0_u64, 0_u64)).collect();
        loop {
            let lacks = |(nr, step): (usize, &Step)| {
                let (done, begun, idle) = states[nr];
                !done && begun + u64::saturating_sub(idle, 2) >= u64::from(step.tries)
            };
            let steps = || level.steps.iter().enumerate();
            if steps().any(|(nr, step)| step.required && lacks((nr, step))) {
                break;
            }
            let open = steps().find(|&(nr, step)| !states[nr].0 && !lacks((nr, step)));
            let Some((first, step)) = open else {
                return took;
            };
            let together = choice().is_multiple_of(2);
            let group: Vec<_> = steps()
                .filter(|&(nr, other)| {
                    nr == first
                        || together
                            && other.group == step.group
                            && !states[nr].0
                            && !lacks((nr, other))
                })
                .collect();
            let fresh = group
                .iter()
                .filter(|(nr, _)| states[*nr].1 + states[*nr].2 == 0);
            let delay = fresh
                .map(|(_, step)| step.delay_ms + step.delay_max_ms)
                .max();
            let accept = 10_000 + lock_delay;
            let until = if harsh {
                accept
            } else {
                choice() % (accept + 1)
            };
            took += delay.unwrap_or(0) + until;
            let run_max = group.iter().map(|(_, step)| step.run_max_ms).max().unwrap();
            let what = choice() % if harsh { 2 } else { 4 };
            took += match what {
                0 => 0,
                1 => run_max + (2000 + lock_delay).max(5000),
                _ => choice() % (run_max + 1),
            };
            for (nr, _) in group {
                let (done, begun, idle) = &mut states[nr];
                *begun += u64::from(what != 0);
                *idle += u64::from(what == 0);
                *done = what == 3 && choice().is_multiple_of(3);
            }
        }
    }
    took
}

proptest! {
    #[test]
    fn plans_are_sound(world in world(), action in action(), node in 1..=3_usize) {
        let target: NodeName = format!("n{node}").parse().unwrap();
        let Ok(plan) = world.plan(target.as_str(), action) else {
            return Ok(());
        };
        prop_assert!(!plan.levels.is_empty());
        prop_assert!(plan.levels.is_sorted_by_key(|level| level.level));
        for level in &plan.levels {
            prop_assert!(!level.steps.is_empty());
            prop_assert!(level.steps.iter().any(|step| step.required));
            groups_are_contiguous(&world, level);
            if action.fences() {
                is_a_fence(level);
            }
            for step in &level.steps {
                let device = world.config.device(&step.device).unwrap();
                prop_assert!(fit::fit(&world.facts(), device, &target) != fit::Fit::No);
                prop_assert_eq!(step.tries, device.retries + 1);
                // Nothing that fences a node runs on it.
                prop_assert!(!step.on_target || step.action == Action::On && action == Action::On);
                prop_assert!(action != Action::Off || step.action == Action::Off);
                prop_assert!(action != Action::On || step.action == Action::On && step.required);
            }
        }
    }

    #[test]
    fn a_level_of_the_topology_is_done_whole_or_not_at_all(world in world(), reboot in any::<bool>()) {
        let action = if reboot { Action::Reboot } else { Action::Off };
        if let Ok(plan) = world.plan("n1", action) {
            for level in plan.levels.iter().filter(|level| level.level > 0) {
                let config = world.config.levels.iter().find(|of| of.level == level.level).unwrap();
                let offs = level.steps.iter().filter(|step| step.action.fences());
                let devices: Vec<_> = offs.map(|step| step.device.clone()).collect();
                prop_assert_eq!(&devices, &config.devices);
            }
        }
    }

    #[test]
    fn nothing_takes_longer_than_the_worst_case(
        world in world(),
        action in action(),
        lock_delay in 1..60_u64,
        harsh in any::<bool>(),
        choices in proptest::collection::vec(any::<u64>(), 1..200),
    ) {
        if let Ok(plan) = world.plan("n1", action) {
            let mut choices = choices.iter().cycle();
            let took = walk(&plan, lock_delay * 1000, harsh, || choices.next().copied().unwrap_or(0));
            let worst = worst_ms(&plan, Duration::from_secs(lock_delay));
            prop_assert!(took <= worst, "{} of {}", took, worst);
        }
    }
}
