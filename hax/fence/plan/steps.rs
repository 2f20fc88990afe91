//! The steps of one level.

use std::time::Duration;

use super::{Facts, fit};
use crate::config::fence::{DeviceConfig, DeviceKind};
use crate::fence::model::{Action, Level, NodeName, Step};

/// Steps of one level at most: each has a group of its own, which is a `u8`.
const STEPS_MAX: usize = 200;

/// `off` through all devices. Neighbours that are `parallel` are one group.
pub(super) fn off(node: &NodeName, number: u8, devices: &[&DeviceConfig]) -> Option<Level> {
    level(number, offs(node, devices))
}

/// All `off`, then the `on` of those that may come back; through one device that knows it, `reboot`.
pub(super) fn reboot(
    facts: &Facts<'_>,
    node: &NodeName,
    number: u8,
    devices: &[&DeviceConfig],
) -> Option<Level> {
    if let [device] = devices
        && fit::comes_back(facts, device)
        && fit::traits(facts, device).reboot
    {
        let mut step = step(device, Action::Reboot);
        delay(&mut step, device, node);
        return level(number, vec![step]);
    }
    let mut steps = offs(node, devices);
    for device in devices {
        if fit::comes_back(facts, device) && fit::traits(facts, device).on {
            steps.push(Step {
                required: false,
                ..step(device, Action::On)
            });
        }
    }
    level(number, steps)
}

/// `on` through all devices that know it.
pub(super) fn on(
    facts: &Facts<'_>,
    node: &NodeName,
    number: u8,
    devices: &[&DeviceConfig],
) -> Option<Level> {
    let mut steps = Vec::new();
    for device in devices {
        let traits = fit::traits(facts, device);
        if traits.on && fit::fit(facts, device, node) != fit::Fit::No {
            steps.push(Step {
                on_target: traits.on_target,
                ..step(device, Action::On)
            });
        }
    }
    level(number, steps)
}

/// The step that kills a process, on its own node.
pub(super) fn kill(device: &DeviceConfig) -> Step {
    Step {
        on_target: true,
        ..step(device, Action::Off)
    }
}

fn offs(node: &NodeName, devices: &[&DeviceConfig]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut before: Option<&DeviceConfig> = None;
    for device in devices {
        let mut step = step(device, Action::Off);
        delay(&mut step, device, node);
        let joins = device.parallel && before.is_some_and(|before| before.parallel);
        // Numbered here only as far as who joins whom; `level` gives the numbers.
        step.group = u8::from(joins);
        steps.push(step);
        before = Some(device);
    }
    steps
}

/// A level of these steps, the groups numbered; none if there is no step. `group` of a step is 1 if it
/// belongs to the group of the step before it.
fn level(number: u8, mut steps: Vec<Step>) -> Option<Level> {
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return None;
    }
    let mut group: u8 = 0;
    for (index, step) in steps.iter_mut().enumerate() {
        if index > 0 && step.group == 0 {
            group = group.saturating_add(1);
        }
        step.group = group;
    }
    Some(Level {
        level: number,
        steps,
    })
}

fn step(device: &DeviceConfig, action: Action) -> Step {
    let timeout = match &device.kind {
        DeviceKind::Watchdog(watchdog) => watchdog.timeout,
        _ => device.timeouts.of(action),
    };
    Step {
        device: device.name.clone(),
        action,
        group: 0,
        required: true,
        tries: device.retries.saturating_add(1),
        delay_ms: 0,
        delay_max_ms: 0,
        run_max_ms: millis(timeout.saturating_add(device.kill_grace)),
        on_target: false,
    }
}

fn delay(step: &mut Step, device: &DeviceConfig, node: &NodeName) {
    let delay = &device.delay;
    let base = delay.per_node.get(node).unwrap_or(&delay.base);
    step.delay_ms = millis(*base);
    step.delay_max_ms = millis(delay.random);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
