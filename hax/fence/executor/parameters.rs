//! The configured parameters of an agent, held against its metadata.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::fence::AgentConfig;
use crate::fence::model::DeviceName;

use super::metadata::{Content, Metadata, Parameter};

/// What a device's configuration has wrong, as far as only its agent knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceError {
    /// The device.
    pub device: DeviceName,
    /// The field below `fence.device[NAME]`.
    pub field: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl DeviceError {
    pub(super) fn new(device: &DeviceName, field: impl Into<String>, problem: String) -> Self {
        Self {
            device: device.clone(),
            field: field.into(),
            problem,
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            field,
            problem,
        } = self;
        write!(f, "fence.device[{device}].{field}: {problem}")
    }
}

impl std::error::Error for DeviceError {}

/// Names that hax sets itself.
const OURS: [&str; 3] = ["action", "option", "nodename"];

/// Checks parameters and secrets of a device. No message holds a value of a secret.
pub(super) fn check(
    device: &DeviceName,
    config: &AgentConfig,
    metadata: &Metadata,
    port: Option<&str>,
) -> Vec<DeviceError> {
    let parameters = config.parameters.iter();
    let given = parameters.map(|(name, value)| ("parameters", name, Some(value.as_str())));
    let secret = config.secrets.keys().map(|name| ("secrets", name, None));
    let mut errors = Vec::new();
    for (table, name, value) in given.chain(secret) {
        let problem = match metadata.parameter(name) {
            _ if OURS.contains(&name.as_str()) => {
                Some(format!("remove it: hax sets {name} itself"))
            }
            _ if is_port(metadata, port, name) => {
                Some("remove it: it is the port, which hax sets; name ports in `ports`".to_owned())
            }
            None => Some(unknown(metadata, name)),
            Some(_) if table == "secrets" && config.parameters.contains_key(name) => {
                Some("stands in `parameters`, too: remove one".to_owned())
            }
            Some(known) => value.and_then(|value| wrong_value(known, value)),
        };
        errors.extend(
            problem.map(|problem| DeviceError::new(device, format!("{table}.{name}"), problem)),
        );
    }
    if let Some(port) = &config.port_parameter
        && metadata.parameter(port).is_none()
    {
        let problem = unknown(metadata, port);
        errors.push(DeviceError::new(device, "port_parameter", problem));
    }
    let names: BTreeSet<&str> = (config.parameters.keys())
        .chain(config.secrets.keys())
        .map(String::as_str)
        .collect();
    for missing in missing(metadata, port, &names) {
        let field = format!("parameters.{missing}");
        let problem = "is missing: the agent requires it".to_owned();
        errors.push(DeviceError::new(device, field, problem));
    }
    errors
}

/// Whether the name is that of the port, or the older or newer one of the same.
fn is_port(metadata: &Metadata, port: Option<&str>, name: &str) -> bool {
    let Some(port) = port else { return false };
    name == port || same(metadata, port, name) || same(metadata, name, port)
}

/// Whether `new` is the successor of `old`.
fn same(metadata: &Metadata, new: &str, old: &str) -> bool {
    let new = metadata.parameter(new);
    new.is_some_and(|new| new.obsoletes.as_deref() == Some(old))
}

fn unknown(metadata: &Metadata, name: &str) -> String {
    let known = metadata.parameters.iter().filter(|known| !known.deprecated);
    let close = known
        .map(|known| {
            let score = strsim::jaro_winkler(&known.name, name);
            (score, known.name.as_str())
        })
        .filter(|(score, _)| *score > 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    match close {
        Some((_, close)) => format!("the agent has no such parameter; {close} is near"),
        None => "the agent has no such parameter".to_owned(),
    }
}

fn wrong_value(parameter: &Parameter, value: &str) -> Option<String> {
    if value.contains(['\n', '\r', '\0']) {
        return Some("has a line end or a NUL".to_owned());
    }
    // By name a password may stand here, and its value in no message.
    let hidden = super::secrets::is_secret_name(&parameter.name);
    let shown = if hidden { super::secrets::BLOT } else { value };
    match &parameter.content {
        Content::Text => None,
        Content::Boolean => {
            let all = ["true", "false", "yes", "no", "on", "off", "1", "0"];
            let lower = value.to_ascii_lowercase();
            (!all.contains(&lower.as_str()))
                .then(|| format!("{shown:?} is not a boolean: use true or false"))
        }
        Content::Integer => {
            (value.parse::<i64>().is_err()).then(|| format!("{shown:?} is not a whole number"))
        }
        Content::Seconds => (value.parse::<i64>().is_err())
            .then(|| format!("{shown:?} is not a number of seconds, written without unit")),
        // Some agents name no options: then they take anything.
        Content::Select(options) => (!options.is_empty()
            && !options.iter().any(|option| option == value))
        .then(|| format!("{shown:?} is none of {}", options.join(", "))),
    }
}

/// What is required and not there, under its new or its old name. What has a default is there.
fn missing<'a>(metadata: &'a Metadata, port: Option<&str>, names: &BTreeSet<&str>) -> Vec<&'a str> {
    let required = (metadata.parameters.iter())
        .filter(|known| known.required && !known.has_default)
        .filter(|known| !OURS.contains(&known.name.as_str()))
        .filter(|known| !is_port(metadata, port, &known.name));
    let absent = required.filter(|known| {
        let aliases = |other: &&&str| {
            **other == known.name
                || same(metadata, &known.name, other)
                || same(metadata, other, &known.name)
        };
        // The old name of what has a new one is asked for under the new one.
        let asked_elsewhere = known.deprecated
            && (metadata.parameters.iter())
                .any(|new| new.obsoletes.as_deref() == Some(known.name.as_str()));
        !asked_elsewhere && names.iter().find(aliases).is_none()
    });
    absent.map(|known| known.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use crate::config::SecretFile;

    use super::*;

    const XML: &str = r#"<resource-agent><parameters>
        <parameter name="ip" required="1" obsoletes="ipaddr"/>
        <parameter name="ipaddr" required="1" deprecated="1"/>
        <parameter name="plug" required="1" obsoletes="port"/>
        <parameter name="port" deprecated="1"/>
        <parameter name="action" required="1"/>
        <parameter name="wait" required="1"><content type="second" default="1"/></parameter>
        <parameter name="password"><content type="integer"/></parameter>
        </parameters><actions><action name="off"/></actions></resource-agent>"#;

    fn errors(parameters: &[(&str, &str)], secrets: &[&str], port: Option<&str>) -> Vec<String> {
        let metadata = Metadata::parse(XML).unwrap();
        let parameters = parameters.iter();
        let secrets = secrets.iter();
        let config = AgentConfig {
            program: PathBuf::new(),
            parameters: parameters
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            secrets: secrets
                .map(|name| ((*name).to_owned(), SecretFile::new(PathBuf::new())))
                .collect::<BTreeMap<_, _>>(),
            port_parameter: port.map(str::to_owned),
        };
        let port = port.or(metadata.port());
        let errors = check(&"d".parse().unwrap(), &config, &metadata, port);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_required_may_have_its_old_name_a_default_or_be_ours() {
        for right in [&[("ip", "x")][..], &[("ipaddr", "x")]] {
            assert_eq!(errors(right, &[], None), [""; 0]);
        }
        assert_eq!(errors(&[], &["ip"], None), [""; 0]);
        let missing = "fence.device[d].parameters.ip: is missing: the agent requires it";
        assert_eq!(errors(&[], &[], None), [missing]);
    }

    #[test]
    fn what_cannot_stand_is_named_without_the_value_of_a_secret() {
        let ip = ("ip", "x");
        for (parameters, secrets, port, words) in [
            (
                &[ip, ("pasword", "x")][..],
                &[][..],
                None,
                "password is near",
            ),
            (&[ip, ("zzz", "x")], &[], None, "no such parameter"),
            (&[ip, ("password", "hidden")], &[], None, "\"***\" is not"),
            (
                &[ip, ("password", "1")],
                &["password"],
                None,
                "too: remove one",
            ),
            (&[ip, ("nodename", "x")], &[], None, "hax sets nodename"),
            (&[ip, ("port", "x")], &[], None, "it is the port"),
            (&[ip], &["plug"], None, "it is the port"),
            (&[("ip", "x\naction=on")], &[], None, "line end"),
            (
                &[ip],
                &[],
                Some("plugg"),
                "port_parameter: the agent has no",
            ),
        ] {
            let errors = errors(parameters, secrets, port);
            let found = errors.iter().any(|error| error.contains(words));
            assert!(found, "{words}: {errors:?}");
            assert!(!errors.concat().contains("hidden"), "{errors:?}");
        }
    }
}
