//! What is odd about one device.

use std::os::unix::fs::PermissionsExt;

use super::{Finding, coverage, may_fence, only_itself};
use crate::config::fence::{AgentConfig, CommandConfig, DeviceConfig, DeviceKind, FenceConfig};
use crate::fence::model::NodeName;

/// Bits of a mode with which others than the owner and his group may read.
const OTHERS_READ: u32 = 0o004;

pub(super) fn of_device(
    config: &FenceConfig,
    device: &DeviceConfig,
    nodes: &[NodeName],
    found: &mut Vec<Finding>,
) {
    if coverage::is_unused(config, device, nodes) {
        let why = "no level names it, and every node that it could fence has levels";
        found.push(Finding::of_device(device, "name", why));
    }
    for node in device.hosts.list.iter().chain(device.hosts.map.keys()) {
        if !nodes.contains(node) {
            let why = format!("no node has the name {node}");
            found.push(Finding::of_device(device, "hosts", why));
        }
        if only_itself(device, node) {
            let why = format!("only {node} could use it, and a node does not fence itself");
            found.push(Finding::of_device(device, "peers", why));
        }
    }
    match &device.kind {
        DeviceKind::Agent(agent) => of_agent(device, agent, found),
        DeviceKind::Command(command) => of_command(device, command, nodes, found),
        DeviceKind::Dummy(_) => {
            let why = "dummy fences nothing; a success of it lets Motr believe what is not so";
            found.push(Finding::of_device(device, "type", why));
        }
        DeviceKind::Files(_) | DeviceKind::Process | DeviceKind::Watchdog(_) => {}
    }
}

fn of_agent(device: &DeviceConfig, agent: &AgentConfig, found: &mut Vec<Finding>) {
    let telling = ["passw", "secret", "token"];
    for name in agent.parameters.keys() {
        // `passwd_script` is the path of what prints it.
        let is_secret = telling.iter().any(|part| name.contains(part));
        if is_secret && !name.ends_with("_script") {
            let key = format!("parameters.{name}");
            let why = "is written in the configuration; secrets takes it from a file";
            found.push(Finding::of_device(device, &key, why));
        }
    }
    for (name, file) in &agent.secrets {
        let key = format!("secrets.{name}");
        match std::fs::metadata(file.path()) {
            Ok(metadata) if !metadata.is_file() => {
                found.push(Finding::of_device(device, &key, "is not a file"));
            }
            Ok(metadata) if metadata.permissions().mode() & OTHERS_READ != 0 => {
                let why = "everybody on this machine can read the file; make its mode 0600";
                found.push(Finding::of_device(device, &key, why));
            }
            Ok(_) => {}
            Err(error) => {
                let why = format!("cannot look at the file: {error}");
                found.push(Finding::of_device(device, &key, why));
            }
        }
    }
}

fn of_command(
    device: &DeviceConfig,
    command: &CommandConfig,
    nodes: &[NodeName],
    found: &mut Vec<Finding>,
) {
    let several = nodes.iter().filter(|node| may_fence(device, node)).count() > 1;
    let says_whom = |word: &String| word.contains("{target}") || word.contains("{port}");
    if several && !command.off.iter().any(says_whom) {
        let why = "says neither {target} nor {port}, so it is the same for each of several nodes";
        found.push(Finding::of_device(device, "off", why));
    }
}
