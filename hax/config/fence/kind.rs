//! What a device is, by its `type`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hosts::Askable;
use super::model::{
    AgentConfig, CommandConfig, DeviceKind, DummyConfig, FilesConfig, FilesDeviceConfig,
    WatchdogAction, WatchdogConfig,
};
use super::{schema as keys, value};
use crate::config::SecretFile;
use crate::config::build::{choice, duration};
use crate::config::reader::{Reader, Scalar};
use crate::config::schema::{KeyDoc, show_duration};

/// `type`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Agent,
    Files,
    Process,
    Command,
    Watchdog,
    Dummy,
}

use Type::{Agent, Command, Dummy, Files, Process, Watchdog};

impl Type {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "agent" => Agent,
            "files" => Files,
            "process" => Process,
            "command" => Command,
            "watchdog" => Watchdog,
            "dummy" => Dummy,
            _ => return None,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Agent => "agent",
            Files => "files",
            Process => "process",
            Command => "command",
            Watchdog => "watchdog",
            Dummy => "dummy",
        }
    }

    /// Users at one time, if it is not said: nobody waits for what only one node does for itself.
    pub(super) fn concurrency(self) -> u64 {
        match self {
            Process | Watchdog => 16,
            Agent | Files | Command | Dummy => 1,
        }
    }

    /// How a device of this type can be asked what it can fence.
    pub(super) fn askable(self, r: &Reader<'_>) -> Askable {
        let without = match self {
            Command => {
                "give it the command for that, name hosts or ports, or write host_check = \"none\""
            }
            _ => "name hosts or ports, or write host_check = \"none\"",
        };
        let (list, status) = match self {
            // What an agent can do is in its metadata.
            Agent => (true, true),
            Command => (
                r.is_given(&keys::DEVICE_LIST),
                r.is_given(&keys::DEVICE_STATUS),
            ),
            Files | Process | Watchdog | Dummy => (false, false),
        };
        Askable {
            list,
            status,
            without,
        }
    }
}

/// Types that fence nodes, through something that has ports.
const PORTS: &[Type] = &[Agent, Files, Command, Dummy];

/// Types that fence nodes.
const NODES: &[Type] = &[Agent, Files, Command, Watchdog, Dummy];

/// Keys that only some types have; all others are for all types.
pub(super) const ONLY: &[(&KeyDoc, &[Type])] = &[
    (&keys::DEVICE_PEERS, NODES),
    (&keys::DEVICE_HOSTS, NODES),
    (&keys::DEVICE_HOST_LIST, NODES),
    (&keys::DEVICE_PORTS, PORTS),
    (&keys::DEVICE_HOST_MAP, PORTS),
    (&keys::DEVICE_HOST_CHECK, PORTS),
    (
        &keys::DEVICE_OFF_TIMEOUT,
        &[Agent, Files, Process, Command, Dummy],
    ),
    (&keys::DEVICE_ON_TIMEOUT, PORTS),
    (&keys::DEVICE_REBOOT_TIMEOUT, PORTS),
    (&keys::DEVICE_STATUS_TIMEOUT, PORTS),
    (&keys::DEVICE_MONITOR_TIMEOUT, PORTS),
    (&keys::DEVICE_LIST_TIMEOUT, PORTS),
    (&keys::DEVICE_UNFENCE, PORTS),
    (&keys::DEVICE_AGENT, &[Agent]),
    (&keys::DEVICE_PARAMETERS, &[Agent]),
    (&keys::DEVICE_SECRETS, &[Agent]),
    (&keys::DEVICE_PORT_PARAMETER, &[Agent]),
    (&keys::DEVICE_REQUEST_DIR, &[Files]),
    (&keys::DEVICE_RESPONSE_DIR, &[Files]),
    (&keys::DEVICE_OFF, &[Command]),
    (&keys::DEVICE_ON, &[Command]),
    (&keys::DEVICE_REBOOT, &[Command]),
    (&keys::DEVICE_STATUS, &[Command]),
    (&keys::DEVICE_MONITOR, &[Command]),
    (&keys::DEVICE_LIST, &[Command]),
    (&keys::DEVICE_TIMEOUT, &[Watchdog]),
    (&keys::DEVICE_STOP_MAX, &[Watchdog]),
    (&keys::DEVICE_ACTION, &[Watchdog]),
    (&keys::DEVICE_COMMAND, &[Watchdog]),
    (&keys::DEVICE_SUCCEED, &[Dummy]),
    (&keys::DEVICE_TAKES, &[Dummy]),
    (&keys::DEVICE_DELAY, NODES),
    (&keys::DEVICE_DELAYS, NODES),
    (&keys::DEVICE_DELAY_RANDOM, NODES),
    (&keys::DEVICE_PARALLEL, NODES),
];

/// Refuses the keys that do not fit the type.
pub(super) fn check_keys(r: &mut Reader<'_>, kind: Type) {
    for (key, types) in ONLY {
        if r.is_given(key) && !types.contains(&kind) {
            let types: Vec<_> = types.iter().map(|kind| kind.as_str()).collect();
            r.refuse(
                key,
                format!(
                    "a device of type {} has no {}; types that have it: {}",
                    kind.as_str(),
                    key.leaf(),
                    types.join(", ")
                ),
            );
        }
    }
}

/// Reads what only this type has.
pub(super) fn read(
    r: &mut Reader<'_>,
    kind: Type,
    session_ttl: Option<Duration>,
    responder: Option<&FilesConfig>,
) -> Option<DeviceKind> {
    Some(match kind {
        Agent => DeviceKind::Agent(agent(r)?),
        Files => DeviceKind::Files(files(r, responder)?),
        Process => DeviceKind::Process,
        Command => DeviceKind::Command(commands(r)?),
        Watchdog => DeviceKind::Watchdog(watchdog(r, session_ttl)?),
        Dummy => {
            let succeed = r.boolean(&keys::DEVICE_SUCCEED);
            let takes = duration(r, &keys::DEVICE_TAKES);
            DeviceKind::Dummy(DummyConfig {
                succeed: succeed?,
                takes: takes?,
            })
        }
    })
}

fn agent(r: &mut Reader<'_>) -> Option<AgentConfig> {
    require(r, Agent, &keys::DEVICE_AGENT);
    let program = r.text(&keys::DEVICE_AGENT, value::agent);
    let port_parameter = r.text(&keys::DEVICE_PORT_PARAMETER, value::parameter);
    let port_given = r.is_given(&keys::DEVICE_PORT_PARAMETER);
    let own = port_parameter.clone();
    let name = |name: &str| {
        let name = value::parameter(name)?;
        let is_port = match &own {
            Some(port) => *port == name,
            None => matches!(name.as_str(), "plug" | "port"),
        };
        if is_port {
            return Err("is the port, which hax gives to the agent itself; see ports".to_owned());
        }
        Ok(name)
    };
    let parameters: Option<BTreeMap<String, String>> =
        r.table(&keys::DEVICE_PARAMETERS, |key, given| {
            let text = match given {
                Scalar::Text(text) => value::parameter_value(text)?,
                Scalar::Number(number) => number.to_string(),
                Scalar::Boolean(value) => value.to_string(),
                Scalar::Other(_) => {
                    return Err("is not a string, a whole number, true or false".to_owned());
                }
            };
            Ok((name(key)?, text))
        });
    let secrets = r.table(&keys::DEVICE_SECRETS, |key, file| {
        let Scalar::Text(file) = file else {
            return Err("is not the path of a file".to_owned());
        };
        // Whoever took this for the place of the secret itself has written it here: it is not quoted.
        let path = value::path(file).map_err(|_| "is not an absolute path".to_owned())?;
        Ok((name(key)?, SecretFile(path)))
    });
    let (parameters, secrets) = (parameters?, secrets?);
    for name in secrets.keys().filter(|name| parameters.contains_key(*name)) {
        let why = "is in parameters, too; give it one way".to_owned();
        r.refuse_entry(&keys::DEVICE_SECRETS, name, why);
    }
    if port_given && port_parameter.is_none() {
        return None;
    }
    Some(AgentConfig {
        program: program?,
        parameters,
        secrets,
        port_parameter,
    })
}

fn files(r: &mut Reader<'_>, responder: Option<&FilesConfig>) -> Option<FilesDeviceConfig> {
    require(r, Files, &keys::DEVICE_REQUEST_DIR);
    require(r, Files, &keys::DEVICE_RESPONSE_DIR);
    let request_dir = r.text(&keys::DEVICE_REQUEST_DIR, value::path);
    let response_dir = r.text(&keys::DEVICE_RESPONSE_DIR, value::path);
    let (request_dir, response_dir) = (request_dir?, response_dir?);
    if request_dir == response_dir {
        r.refuse(
            &keys::DEVICE_RESPONSE_DIR,
            "is request_dir, too; two directories are wanted".to_owned(),
        );
    }
    if responder.is_some_and(|responder| responder.request_dir == request_dir) {
        r.refuse(
            &keys::DEVICE_REQUEST_DIR,
            "is fence.files.request_dir: hax would be asked by itself".to_owned(),
        );
    }
    Some(FilesDeviceConfig {
        request_dir,
        response_dir,
    })
}

fn commands(r: &mut Reader<'_>) -> Option<CommandConfig> {
    require(r, Command, &keys::DEVICE_OFF);
    let off = command(r, &keys::DEVICE_OFF);
    let on = command(r, &keys::DEVICE_ON);
    let reboot = command(r, &keys::DEVICE_REBOOT);
    let status = command(r, &keys::DEVICE_STATUS);
    let monitor = command(r, &keys::DEVICE_MONITOR);
    let list = command(r, &keys::DEVICE_LIST);
    Some(CommandConfig {
        off: off??,
        on: on?,
        reboot: reboot?,
        status: status?,
        monitor: monitor?,
        list: list?,
    })
}

/// A command; `Some(None)` if it is not written, `None` if it has been reported.
fn command(r: &mut Reader<'_>, key: &KeyDoc) -> Option<Option<Vec<String>>> {
    const ARGUMENTS_MAX: usize = 64;
    let words = r.list(key, value::argument)?;
    if !r.is_given(key) {
        return Some(None);
    }
    let why = match words.first() {
        None => "is empty; it is a program and its arguments".to_owned(),
        Some(program) if !program.starts_with('/') => {
            format!("{program:?} is not an absolute path; no shell looks for it")
        }
        Some(_) if words.len() > ARGUMENTS_MAX => {
            format!("has more than {ARGUMENTS_MAX} words")
        }
        Some(_) => return Some(Some(words)),
    };
    r.refuse(key, why);
    None
}

fn watchdog(r: &mut Reader<'_>, session_ttl: Option<Duration>) -> Option<WatchdogConfig> {
    let stop_max = duration(r, &keys::DEVICE_STOP_MAX);
    let given = r.is_given(&keys::DEVICE_TIMEOUT);
    let timeout = duration(r, &keys::DEVICE_TIMEOUT);
    let action = choice(r, &keys::DEVICE_ACTION, |word| {
        ["processes", "command", "reboot"]
            .into_iter()
            .find(|known| *known == word)
    });
    let command = command(r, &keys::DEVICE_COMMAND);
    let (action, command) = (action?, command?);
    let action = match (action, command) {
        ("command", Some(command)) => WatchdogAction::Command(command),
        ("command", None) => {
            let why = "needs command, with the program and its arguments".to_owned();
            r.refuse(&keys::DEVICE_ACTION, why);
            return None;
        }
        (_, Some(_)) => {
            let why = "counts only with action = \"command\"".to_owned();
            r.refuse(&keys::DEVICE_COMMAND, why);
            return None;
        }
        ("processes", None) => WatchdogAction::Processes,
        (_, None) => WatchdogAction::Reboot,
    };
    let stop_max = stop_max?;
    let least = session_ttl?.saturating_add(stop_max);
    let timeout = if given { timeout? } else { least };
    if timeout < least {
        r.refuse(
            &keys::DEVICE_TIMEOUT,
            format!(
                "{} is below fence.session_ttl + stop_max, {}: the target may still run when it is over",
                show_duration(timeout),
                show_duration(least)
            ),
        );
    }
    Some(WatchdogConfig {
        timeout,
        stop_max,
        action,
    })
}

/// Keys that one type cannot do without.
fn require(r: &mut Reader<'_>, kind: Type, key: &KeyDoc) {
    if !r.is_given(key) {
        let why = format!(
            "a device of type {} needs {}: {}",
            kind.as_str(),
            key.leaf(),
            key.range
        );
        r.refuse(key, why);
    }
}
