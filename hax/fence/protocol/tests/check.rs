//! The model check (`rfc/13-fencing-protocol.md`, "Properties").

use std::time::Duration;

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};

use crate::fence::model::{Action, Level, Plan, Step};

use super::model::{Defect, Fencing};

pub(super) fn step(device: &str, action: Action, group: u8, tries: u8) -> Step {
    Step {
        device: device.parse().unwrap(),
        action,
        group,
        required: action.fences(),
        tries,
        delay_ms: 0,
        delay_max_ms: 0,
        run_max_ms: 1,
        on_target: false,
    }
}

/// States that are looked at where all would take too long for every run of the tests.
const FIRST: usize = 300_000;

/// How long the largest model is looked at.
const LONG: Duration = Duration::from_secs(600);

fn plan(levels: Vec<Vec<Step>>) -> Plan {
    let levels = levels.into_iter().zip(1..);
    Plan {
        epoch: 0,
        levels: levels
            .map(|(steps, level)| Level { level, steps })
            .collect(),
    }
}

fn one_step(tries: u8) -> Plan {
    plan(vec![vec![step("d", Action::Off, 0, tries)]])
}

/// Every state, and all properties.
fn holds(name: &str, model: Fencing) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} different, depth {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

/// The first states, breadth first: no property is broken in them.
fn holds_at_first(name: &str, model: Fencing) {
    holds_as_far(name, model.checker().target_state_count(FIRST));
}

/// No property is broken in the states that a check comes to.
fn holds_as_far(name: &str, builder: CheckerBuilder<Fencing>) {
    let checker = builder.threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} different, depth {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    for property in checker.model().properties() {
        let broken = property.expectation.discovery_is_failure()
            && checker.discovery(property.name).is_some();
        assert!(!broken, "{}", property.name);
    }
}

/// A model with a defect has a run that breaks one of these properties.
fn caught(defect: Defect, mut model: Fencing, properties: &[&'static str]) {
    model.defect = Some(defect);
    let checker = model
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    let broken: Vec<_> = properties
        .iter()
        .filter(|name| found.contains_key(**name))
        .collect();
    println!(
        "{defect:?}: {broken:?} after {} states",
        checker.unique_state_count()
    );
    assert!(!broken.is_empty(), "{:?}", found.keys());
}

/// The smallest model that can do everything: one device, a retry, one fault.
fn small() -> Fencing {
    let mut model = Fencing::new(2, one_step(2));
    model.slow = false;
    model
}

const P1: &str = "P1 never two at once";
const P1_OVER: &str = "P1 no attempt is over while its agent may act";
const P2: &str = "P2 no success without a confirmed run";
const P4: &str = "P4 agents only of operations that go on";
const P5: &str = "P5 the epoch counts the successes";
const FOR_GOOD: &str = "an end is for good";

fn two_devices() -> Fencing {
    let both = |action, group| [step("d", action, group, 1), step("e", action, group, 1)];
    let steps = [both(Action::Off, 0), both(Action::On, 1)].concat();
    let mut model = Fencing::new(2, plan(vec![steps]));
    model.slow = false;
    model.anyone = false;
    model
}

#[test]
fn the_driver_decides_without_a_fault() {
    let mut model = Fencing::new(2, one_step(1));
    model.slow = false;
    model.anyone = false;
    model.faults = 0;
    holds("the driver decides, no fault", model);
}

#[test]
#[ignore = "takes minutes: every state with one fault"]
fn decisions_that_arrive_late() {
    holds("late decisions, one fault", Fencing::new(2, one_step(1)));
}

#[test]
fn whoever_decides_with_one_fault_at_first() {
    holds_at_first("anyone decides, one fault", small());
}

#[test]
fn decisions_that_arrive_late_at_first() {
    holds_at_first("late decisions, one fault", Fencing::new(2, one_step(1)));
}

#[test]
fn a_reboot_through_two_devices_at_first() {
    holds_at_first("two devices, one fault", two_devices());
}

#[test]
fn the_driver_decides_with_one_fault() {
    let mut model = Fencing::new(2, one_step(1));
    model.slow = false;
    model.anyone = false;
    holds("the driver decides, one fault", model);
}

#[test]
#[ignore = "takes minutes: every state with one fault"]
fn whoever_decides_with_one_fault() {
    holds("anyone decides, one fault", small());
}

#[test]
#[ignore = "takes minutes: every state with one fault"]
fn a_reboot_through_two_devices() {
    holds("two devices, one fault", two_devices());
}

#[test]
#[ignore = "takes ten minutes: more faults, two operations, three peers, as far as it comes"]
fn larger_bounds_as_far_as_it_comes() {
    let levels = plan(vec![
        vec![step("d", Action::Off, 0, 2)],
        vec![step("e", Action::Off, 0, 1)],
    ]);
    let mut model = Fencing::new(3, levels);
    model.faults = 2;
    model.requests = 2;
    holds_as_far("larger", model.checker().timeout(LONG));
}

#[test]
fn finish_has_to_check_the_lock() {
    caught(Defect::FinishWithoutLock, small(), &[P2]);
}

#[test]
fn a_lost_attempt_has_to_be_waited_for() {
    caught(Defect::NoWait, small(), &[P1, P1_OVER]);
}

#[test]
fn an_observer_has_to_count_from_its_own_first_look() {
    caught(Defect::WaitByRecord, small(), &[P1, P1_OVER]);
}

#[test]
fn the_wait_has_to_outlast_the_run_and_the_start_window() {
    caught(Defect::ShortLockDelay, small(), &[P1, P1_OVER]);
}

#[test]
fn start_has_to_check_the_index() {
    caught(
        Defect::StartWithoutIndex,
        small(),
        &[P4, FOR_GOOD, P1, P1_OVER],
    );
}

#[test]
fn the_driver_has_to_check_the_index() {
    let mut model = Fencing::new(2, one_step(2));
    model.slow = true;
    caught(
        Defect::DriverWithoutIndex,
        model,
        &[P1, P1_OVER, P4, FOR_GOOD],
    );
}

#[test]
fn success_has_to_be_what_the_agent_said() {
    caught(Defect::SuccessUnconfirmed, small(), &[P2]);
}

#[test]
fn nothing_is_delegated_beside_a_running_attempt() {
    caught(Defect::DelegateBeside, small(), &[P1, P1_OVER]);
}

#[test]
fn an_operator_has_to_wait_for_the_end_of_a_run() {
    caught(Defect::OperatorAnytime, small(), &[P1_OVER, P4]);
}

#[test]
fn an_end_has_to_be_looked_up_before_it_is_repeated() {
    let mut model = Fencing::new(2, one_step(1));
    model.slow = true;
    caught(Defect::EndTwice, model, &[P5]);
}

#[test]
fn nothing_is_spawned_after_the_start_window() {
    caught(Defect::LateSpawn, small(), &[P1, P1_OVER]);
}
