//! Values of fencing that are written as text. As elsewhere, a parser says why it refuses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use halink::{Fid, FidType};

pub(super) use crate::config::value::absolute as path;
use crate::config::value::fid;
use crate::fence::model::{DeviceName, NodeName};

/// Bytes of a pattern.
const PATTERN_MAX: usize = 256;
/// Bytes of a compiled pattern.
const PATTERN_SIZE_MAX: usize = 1 << 20;
/// Bytes of a port, and of the name of a parameter.
const SHORT_MAX: usize = 255;
/// Bytes of a parameter's value, and of one argument of a command.
const LONG_MAX: usize = 4096;

/// What hax gives to every agent by itself. `option` is how old agents call `action`.
const OWN_PARAMETERS: &[&str] = &["action", "option", "nodename"];

/// Pacemaker's own parameters, and the keys that stand for them here.
const PCMK: &[(&str, &str)] = &[
    ("pcmk_host_list", "host_list"),
    ("pcmk_host_map", "host_map"),
    ("pcmk_host_check", "host_check"),
    ("pcmk_host_argument", "port_parameter"),
    ("pcmk_delay_base", "delay and delays"),
    ("pcmk_delay_max", "delay_random"),
    ("pcmk_action_limit", "concurrency"),
    ("pcmk_off_timeout", "off_timeout"),
    ("pcmk_on_timeout", "on_timeout"),
    ("pcmk_reboot_timeout", "reboot_timeout"),
    ("pcmk_status_timeout", "status_timeout"),
    ("pcmk_monitor_timeout", "monitor_timeout"),
    ("pcmk_list_timeout", "list_timeout"),
    ("pcmk_off_retries", "retries"),
    ("pcmk_reboot_retries", "retries"),
];

pub(super) fn node(text: &str) -> Result<NodeName, String> {
    text.parse::<NodeName>().map_err(|error| error.to_string())
}

pub(super) fn device(text: &str) -> Result<DeviceName, String> {
    text.parse::<DeviceName>()
        .map_err(|error| error.to_string())
}

/// A name below `fence.agent_dir`, or an absolute path.
pub(super) fn agent(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        return path(text);
    }
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let plain = text.len() <= SHORT_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(fine);
    if plain {
        Ok(PathBuf::from(text))
    } else {
        Err(format!(
            "{text:?} is neither a name such as `fence_ipmilan` nor an absolute path"
        ))
    }
}

/// `n1 n2,n3;n4`
pub(super) fn host_list(text: &str) -> Result<Vec<NodeName>, String> {
    let names = text.split([' ', '\t', ',', ';']);
    let nodes: Vec<_> = names
        .filter(|name| !name.is_empty())
        .map(node)
        .collect::<Result<_, _>>()?;
    if nodes.is_empty() {
        return Err("names no node".to_owned());
    }
    Ok(nodes)
}

/// `n1:1;n2:2,3`: a comma belongs to the port.
pub(super) fn host_map(text: &str) -> Result<BTreeMap<NodeName, String>, String> {
    let mut ports = BTreeMap::new();
    for pair in text.split([' ', '\t', ';']).filter(|pair| !pair.is_empty()) {
        let Some((name, its_port)) = pair.split_once(':') else {
            return Err(format!("{pair:?} is not `node:port`"));
        };
        if its_port.contains(':') {
            return Err(format!(
                "{pair:?} has more than one `:`; pairs are separated by `;`, and a port with `:` belongs into ports"
            ));
        }
        let its_port = port(its_port).map_err(|why| format!("{pair:?}: the port {why}"))?;
        if ports.insert(node(name)?, its_port).is_some() {
            return Err(format!("{name} is named twice"));
        }
    }
    if ports.is_empty() {
        return Err("names no node".to_owned());
    }
    Ok(ports)
}

/// A port, as the agent takes it.
pub(super) fn port(text: &str) -> Result<String, String> {
    match text {
        "" => Err("is empty".to_owned()),
        _ if text.len() > SHORT_MAX => Err(format!("is longer than {SHORT_MAX} bytes")),
        _ if text.chars().any(char::is_control) => Err("has a control character".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// The name of a parameter of an agent.
pub(super) fn parameter(text: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let pcmk = PCMK.iter().find(|(name, _)| *name == text);
    match (text, pcmk) {
        (_, Some((_, key))) => Err(format!("is Pacemaker's; here it is {key} of the device")),
        _ if text.starts_with("pcmk_") => Err("is Pacemaker's, and unknown here".to_owned()),
        ("", _) => Err("the name of a parameter is empty".to_owned()),
        _ if text.len() > SHORT_MAX || !text.bytes().all(fine) => {
            Err("is not the name of a parameter: letters, digits, `_` and `-`".to_owned())
        }
        _ if OWN_PARAMETERS.contains(&text) => {
            Err("is given to the agent by hax itself".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

/// The value of a parameter, which is one line of the agent's input. Never quoted: it may be a secret.
pub(super) fn parameter_value(text: &str) -> Result<String, String> {
    match text {
        _ if text.len() > LONG_MAX => Err(format!("is longer than {LONG_MAX} bytes")),
        _ if text.chars().any(char::is_control) => Err("has a control character".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// One argument of a command.
pub(super) fn argument(text: &str) -> Result<String, String> {
    match text {
        _ if text.len() > LONG_MAX => Err(format!("is longer than {LONG_MAX} bytes")),
        _ if text.contains('\0') => Err("has a NUL character".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// A pattern for the whole name of a node.
pub(super) fn pattern(text: &str) -> Result<regex::Regex, String> {
    if text.is_empty() {
        return Err("is empty; `.*` matches every node".to_owned());
    }
    if text.len() > PATTERN_MAX {
        return Err(format!("is longer than {PATTERN_MAX} bytes"));
    }
    let compile = |text: &str| {
        let mut builder = regex::RegexBuilder::new(text);
        builder.size_limit(PATTERN_SIZE_MAX).build()
    };
    // Alone first: what is not whole by itself must not be made so by what is put around it.
    let why = |error: regex::Error| {
        let words = error.to_string();
        let last = words.lines().last().unwrap_or_default();
        let last = last.trim_start_matches("error: ");
        format!("{text:?} is not a regular expression: {last}")
    };
    compile(text).map_err(why)?;
    compile(&format!("^(?:{text})$")).map_err(why)
}

/// `key=value`
pub(super) fn attribute(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=');
    let pair = pair.filter(|(key, value)| !key.is_empty() && !value.is_empty());
    let plain = |text: &str| text.len() <= SHORT_MAX && !text.chars().any(char::is_control);
    match pair {
        Some((key, value)) if plain(key) && plain(value) => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("{text:?} is not `key=value`")),
    }
}

/// The name of a policy, in the form of a device's.
pub(super) fn policy(text: &str) -> Result<String, String> {
    match text.parse::<DeviceName>() {
        Ok(name) => Ok(name.to_string()),
        Err(_) => Err(format!(
            "{text:?} is not the name of a policy: letters, digits, `.`, `_` and `-`, at most 64"
        )),
    }
}

/// The name of a service, or the fid of a process.
pub(super) fn process(text: &str) -> Result<String, String> {
    if text.contains(':') {
        // As the rest of hax writes it, whatever form it was given in.
        return fid(text, FidType::Process).map(|fid: Fid| fid.to_string());
    }
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match text {
        "" => Err("the name of a service is empty".to_owned()),
        _ if text.len() > SHORT_MAX || !text.bytes().all(fine) => Err(format!(
            "{text:?} is neither the name of a service nor the fid of a process"
        )),
        _ => Ok(text.to_owned()),
    }
}
