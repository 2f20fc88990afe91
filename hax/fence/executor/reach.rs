//! What this node reaches: for `fence/peers/<node>`, and for drills.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::fence::{DeviceKind, HostCheck};
use crate::fence::model::{Ended, NodeName, Reach, RunResult, UnixMillis};

use super::api::{Listed, Power};
use super::device::{Device, status_class};
use super::evidence::Said;
use super::guarded::Guard;
use super::listing;
use super::program::{Aim, Called, Verb};

/// After this many nodes in a row without an answer the rest is not asked.
const SILENT_MAX: u32 = 3;

/// Looks whether the device answers.
pub(super) async fn ping(guard: &Guard, device: &Device) -> Ended {
    let Some(verb) = monitor(device) else {
        return Called::impossible("the device has no monitor".to_owned())
            .ended(|_| RunResult::Internal);
    };
    let called = device.ask(guard, verb, None).await;
    called.ended(|code| match code {
        0 => RunResult::Success,
        _ => RunResult::Unreachable,
    })
}

/// What shows whether the device answers, if it knows any of it.
fn monitor(device: &Device) -> Option<Verb> {
    let program = device.program()?;
    let mut verbs = [Verb::Monitor, Verb::List].into_iter();
    verbs.find(|verb| program.knows(*verb))
}

/// Asks it what it can fence.
pub(super) async fn list(guard: &Guard, device: &Device) -> (Ended, Vec<Listed>) {
    if !device.traits.list {
        let called = Called::impossible("the device has no list".to_owned());
        return (called.ended(|_| RunResult::Internal), Vec::new());
    }
    let called = device.ask(guard, Verb::List, None).await;
    let ended = called.ended(|code| match code {
        0 => RunResult::Success,
        _ => RunResult::NotAcknowledged,
    });
    match &called.stdout {
        Some(text) if ended.result == RunResult::Success => (ended, listing::parse(text)),
        None if ended.result == RunResult::Success => {
            let mut ended = ended;
            ended.result = RunResult::Internal;
            ended.evidence = "its list is too long".to_owned();
            (ended, Vec::new())
        }
        _ => (ended, Vec::new()),
    }
}

/// Asks it whether a node is on.
pub(super) async fn status(
    guard: &Guard,
    device: &Device,
    node: &NodeName,
    port: &str,
) -> (Ended, Power) {
    let called = device
        .ask(guard, Verb::Status, Some(Aim { node, port }))
        .await;
    let power = match called.said {
        Said::Exit(0) => Power::On,
        Said::Exit(2) => Power::Off,
        _ => Power::Unknown,
    };
    (called.ended(status_class), power)
}

/// What this node can do with the device, looked up now.
pub(super) async fn reach(guard: &Guard, device: &Device, nodes: &[NodeName]) -> Reach {
    let mut reach = Reach::default();
    if device.program().is_none() {
        return without_program(device, nodes);
    }
    let monitored = monitor(device).is_some();
    if monitored {
        let monitor = ping(guard, device).await;
        if monitor.result != RunResult::Success {
            reach.error = Some(monitor.evidence);
            // What is configured does not depend on the device.
            if device.config.hosts.check == HostCheck::Static {
                reach.targets = Some(configured(device));
            }
            return reach;
        }
        reach.verified = Some(now());
    }
    match device.config.hosts.check {
        HostCheck::Static => {
            let all = configured(device);
            let here = all.iter().filter(|node| nodes.contains(node)).cloned();
            let here: Vec<NodeName> = here.collect();
            by_status(guard, device, &here, &mut reach).await;
            reach.targets = Some(all);
        }
        HostCheck::Dynamic => by_list(guard, device, nodes, &mut reach).await,
        HostCheck::Status => {
            let found = by_status(guard, device, nodes, &mut reach).await;
            reach.targets = Some(found);
        }
        HostCheck::None => reach.targets = monitored.then(|| nodes.to_vec()),
    }
    if !monitored {
        // Nothing is wrong with it. It was reached if it could tell of a node.
        reach.verified = reach.drilled.values().max().copied();
    }
    reach
}

async fn by_list(guard: &Guard, device: &Device, nodes: &[NodeName], reach: &mut Reach) {
    let (ended, list) = list(guard, device).await;
    if ended.result != RunResult::Success {
        // Agents that have `list` for devices that have none: what the status says.
        let found = by_status(guard, device, nodes, reach).await;
        reach.targets = Some(found);
        return;
    }
    let map = &device.config.hosts.map;
    let mut found = Vec::new();
    for node in nodes {
        match listing::port_of(&list, node, map.get(node).map(String::as_str)) {
            Ok(Some(_)) => found.push(node.clone()),
            Ok(None) => {}
            Err(why) => reach.error = Some(why),
        }
    }
    reach
        .drilled
        .extend(found.iter().map(|node| (node.clone(), now())));
    reach.targets = Some(found);
}

/// The nodes whose status the device tells, one after another; each is a drill.
async fn by_status(
    guard: &Guard,
    device: &Device,
    nodes: &[NodeName],
    reach: &mut Reach,
) -> Vec<NodeName> {
    let mut found = Vec::new();
    let mut silent = 0;
    if !device.traits.status {
        return found;
    }
    for node in nodes {
        let (ended, power) = status(guard, device, node, device.port(node)).await;
        if power != Power::Unknown {
            silent = 0;
            reach.drilled.insert(node.clone(), now());
            found.push(node.clone());
            continue;
        }
        if device.config.hosts.check == HostCheck::Static {
            reach.error = Some(format!("status of {node}: {}", ended.evidence));
        }
        silent += u32::from(ended.result == RunResult::Timeout);
        if silent >= SILENT_MAX {
            reach.error = Some(format!("status of {node}: {}", ended.evidence));
            break;
        }
    }
    found
}

/// Devices of which there is nothing to look at.
fn without_program(device: &Device, nodes: &[NodeName]) -> Reach {
    let targets = match device.config.hosts.check {
        HostCheck::Static => configured(device),
        _ => nodes.to_vec(),
    };
    let verified = match device.config.kind {
        // Whether somebody serves the directories shows only when he is asked.
        DeviceKind::Files(_) => None,
        _ => Some(now()),
    };
    Reach {
        verified,
        targets: Some(targets),
        ..Reach::default()
    }
}

/// The nodes that the configuration names, each once.
fn configured(device: &Device) -> Vec<NodeName> {
    let hosts = &device.config.hosts;
    let mut all: Vec<NodeName> = hosts.list.iter().chain(hosts.map.keys()).cloned().collect();
    all.sort();
    all.dedup();
    all
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    UnixMillis(u64::try_from(millis).unwrap_or(u64::MAX))
}
