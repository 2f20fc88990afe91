//! The state, and the devices.

use std::fmt::Write as _;

use super::text::{action, clean, source, table, time, took};
use crate::http::fence::{DeviceRow, NodeRow, Status};

pub(super) fn status(status: Status) -> String {
    let mut text = String::new();
    let node = status.node.as_ref().map_or("?", |node| node.as_str());
    let session = status
        .session
        .as_deref()
        .unwrap_or("none: this node starts nothing");
    let _ = writeln!(text, "{node}: session {}", clean(session));
    section(&mut text, "peers", peers(&status));
    if !status.nodes.is_empty() {
        section(&mut text, "nodes", nodes(&status.nodes));
    }
    section(&mut text, "readiness", readiness(&status));
    if !status.operations.is_empty() {
        section(&mut text, "operations", operations(&status));
    }
    if !status.inhibits.is_empty() {
        let rows = status.inhibits.iter().map(|row| {
            let left = match row.remaining_ms {
                0 => "is over".to_owned(),
                left => took(left),
            };
            let (target, who) = (clean(&row.target), clean(&row.who));
            vec![target, time(row.until), left, who, clean(&row.reason)]
        });
        let head = ["TARGET", "UNTIL", "LEFT", "WHO", "WHY"];
        section(&mut text, "inhibited", table(&head, rows));
    }
    for (key, why) in &status.malformed {
        let _ = writeln!(text, "\ncannot be read: {}: {}", clean(key), clean(why));
    }
    for finding in &status.lint {
        let _ = writeln!(text, "\ndoubtful: {}", clean(finding));
    }
    if let Some(audit) = status.audit {
        let _ = writeln!(text, "\naudit: line {}, {}", audit.seq, audit.hash);
    }
    text
}

fn section(text: &mut String, name: &str, table: String) {
    let _ = write!(text, "\n{name}\n{table}");
}

fn peers(status: &Status) -> String {
    let rows = status.peers.iter().map(|peer| {
        let alive = if peer.alive { "alive" } else { "NOT ALIVE" };
        let devices = peer.record.devices.iter().map(|(device, reach)| {
            let verified = reach.verified.is_some() && reach.error.is_none();
            format!("{device}{}", if verified { "" } else { "?" })
        });
        let watchdog = peer.record.watchdog_ms.map_or("-".to_owned(), took);
        let devices: Vec<String> = devices.collect();
        vec![
            peer.node.to_string(),
            alive.to_owned(),
            watchdog,
            devices.join(" "),
        ]
    });
    table(&["NODE", "", "WATCHDOG", "DEVICES (? not verified)"], rows)
}

fn nodes(nodes: &[NodeRow]) -> String {
    let rows = nodes.iter().map(|row| {
        let record = &row.record;
        let mut state = match &record.fenced {
            Some(fenced) => format!(
                "FENCED by {} {} at {}",
                action(fenced.action),
                fenced.op,
                time(fenced.at)
            ),
            None => "takes part".to_owned(),
        };
        if let Some(why) = &record.quarantined {
            let _ = write!(state, "; QUARANTINED: {}", clean(why));
        }
        vec![row.node.to_string(), record.epoch.to_string(), state]
    });
    table(&["NODE", "EPOCH", "STATE"], rows)
}

fn readiness(status: &Status) -> String {
    let rows = status.readiness.iter().map(|row| {
        let name = |name: Option<String>| name.unwrap_or_else(|| "-".to_owned());
        let age = row
            .age_ms
            .map_or("NEVER".to_owned(), |age| format!("{} ago", took(age)));
        let device = row.device.as_ref().map(ToString::to_string);
        let peer = row.peer.as_ref().map(ToString::to_string);
        vec![row.node.to_string(), age, name(device), name(peer)]
    });
    table(&["NODE", "SHOWN FENCEABLE", "THROUGH", "FROM"], rows)
}

fn operations(status: &Status) -> String {
    let rows = status.operations.iter().map(|op| {
        let phase = match &op.held {
            Some(why) => format!("HELD: {}", clean(why)),
            None => clean(&op.phase),
        };
        vec![
            op.id.to_string(),
            format!("{} {}", action(op.action), op.target),
            phase,
            op.attempts.to_string(),
            format!("{}, {}", source(op.source), clean(&op.who)),
            time(op.since),
        ]
    });
    let head = ["ID", "WHAT", "PHASE", "ATTEMPTS", "BY", "SINCE"];
    table(&head, rows)
}

pub(super) fn devices(devices: &[DeviceRow]) -> String {
    if devices.is_empty() {
        return "no devices\n".to_owned();
    }
    let rows = devices.iter().map(|row| {
        let (kind, levels, hosts) = match &row.configured {
            Some(device) => {
                let program = device
                    .program
                    .iter()
                    .map(|program| format!(" {}", clean(program)));
                let kind = format!("{}{}", clean(&device.kind), program.collect::<String>());
                let hosts: Vec<&str> = device.hosts.iter().map(|host| host.as_str()).collect();
                let hosts = match hosts.is_empty() {
                    true => format!("({})", clean(&device.check)),
                    false => hosts.join(" "),
                };
                let levels = clean(&device.levels.join(", "));
                (kind, levels, hosts)
            }
            None => (
                "not configured here".to_owned(),
                String::new(),
                String::new(),
            ),
        };
        let reach = row
            .reach
            .iter()
            .map(|(peer, reach)| match (&reach.error, reach.verified) {
                (Some(error), _) => format!("{peer}: {}", clean(error)),
                (None, Some(at)) => format!("{peer}: {}", time(at)),
                (None, None) => format!("{peer}: not verified"),
            });
        let reach: Vec<String> = reach.collect();
        vec![
            row.device.to_string(),
            kind,
            levels,
            hosts,
            reach.join("; "),
        ]
    });
    let head = ["DEVICE", "KIND", "LEVELS", "CAN FENCE", "REACHED BY"];
    table(&head, rows)
}
