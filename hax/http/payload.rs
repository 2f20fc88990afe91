//! From a watch's JSON to a [`WatchUpdate`]. Only what is used is looked at, so that other
//! versions of Consul, with other fields, do as well.
//!
//! The forms are those of Consul's API: `/v1/health/service/:service` (service),
//! `/v1/health/state/:state` (checks), `/v1/catalog/nodes` (nodes), `/v1/kv/:prefix?recurse`
//! (keyprefix). See <https://developer.hashicorp.com/consul/docs/dynamic-app-config/watches>.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use consul_client::CheckStatus;
use halink::{Fid, FidType, HaState};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;

use super::reply::Refusal;
use crate::bridge::update::{NodeHealth, ServiceHealth, WatchUpdate};
use crate::cluster::HareState;

/// Container of the process fids whose keys Hare uses as service IDs.
const PROCESS_CONTAINER: u64 = 1;
/// The check Consul itself makes of every node.
const SERF_HEALTH: &str = "serfHealth";
/// Where the states of objects are stored (4/KV).
const M0CONF: &str = "m0conf/";
/// Bytes of a node's name at most.
const NAME_MAX: usize = 255;

/// Which watch a payload is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// `service`: the instances of a service, with their checks.
    Service,
    /// `checks`: checks of services and nodes.
    Checks,
    /// `nodes`: names of nodes.
    Nodes,
    /// `keyprefix`: pairs of KV.
    KeyPrefix,
}

/// Parses a payload. Empty and `null` mean an empty list, as Consul sends them.
///
/// # Errors
/// [`Refusal::MalformedJson`] and [`Refusal::InvalidPayload`].
pub fn parse(watch: Watch, body: &[u8]) -> Result<WatchUpdate, Refusal> {
    Ok(match watch {
        Watch::Service => WatchUpdate::Services(list(body)?.into_iter().map(service).collect()),
        Watch::Checks => checks(list(body)?),
        Watch::Nodes => WatchUpdate::Nodes(
            list::<RawNode>(body)?
                .into_iter()
                .map(|node| node.node.0)
                .collect(),
        ),
        Watch::KeyPrefix => key_prefix(&list::<RawPair<'_>>(body)?),
    })
}

fn list<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<Vec<T>, Refusal> {
    if body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let list: Option<Vec<Object<T>>> =
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = match error.path().to_string() {
                root if root == "." => "the payload".to_owned(),
                path => path,
            };
            match error.inner().classify() {
                Category::Data => Refusal::InvalidPayload {
                    path,
                    what: error.inner().to_string(),
                },
                _ => Refusal::MalformedJson(error.inner().to_string()),
            }
        })?;
    json.end()
        .map_err(|error| Refusal::MalformedJson(error.to_string()))?;
    Ok(list
        .unwrap_or_default()
        .into_iter()
        .map(|entry| entry.0)
        .collect())
}

fn service(entry: RawEntry) -> ServiceHealth {
    let checks = entry.checks.unwrap_or_default();
    let worst = checks.into_iter().map(|check| check.0).max();
    let worst = worst.unwrap_or(Verdict {
        status: Severity::Passing,
        index: newest(),
    });
    ServiceHealth {
        process: entry.service.0.id.0,
        node: entry.node.0.node.0,
        status: worst.status.into(),
        index: worst.index,
    }
}

/// Several checks of one service count as one, the worst.
fn checks(checks: Vec<RawCheck<'_>>) -> WatchUpdate {
    let (mut services, mut nodes, mut ignored) =
        (Vec::<(ServiceId, NodeName, Verdict)>::new(), Vec::new(), 0);
    let mut places = HashMap::new();
    for check in checks {
        if check.service_id.is_empty() && check.check_id == SERF_HEALTH {
            nodes.push(NodeHealth {
                node: check.node.0,
                status: check.status.into(),
            });
            continue;
        }
        let Ok(id) = ServiceId::from_str(&check.service_id) else {
            ignored += 1;
            continue;
        };
        let place = *places
            .entry((id.0, check.node.0.clone()))
            .or_insert(services.len());
        match services.get_mut(place) {
            Some((_, _, worst)) => *worst = check.verdict().max(*worst),
            None => {
                let verdict = check.verdict();
                services.push((id, check.node, verdict));
            }
        }
    }
    let services = services.into_iter().map(|(id, node, worst)| ServiceHealth {
        process: id.0,
        node: node.0,
        status: worst.status.into(),
        index: worst.index,
    });
    WatchUpdate::Checks {
        services: services.collect(),
        nodes,
        ignored,
    }
}

fn key_prefix(pairs: &[RawPair<'_>]) -> WatchUpdate {
    let states: Vec<_> = pairs.iter().filter_map(RawPair::state).collect();
    let ignored = pairs.len() - states.len();
    WatchUpdate::KeyPrefix { states, ignored }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawEntry {
    node: Object<RawNode>,
    service: Object<RawService>,
    checks: Option<Vec<Object<Verdict>>>,
}

#[derive(serde::Deserialize)]
struct RawNode {
    #[serde(rename = "Node")]
    node: NodeName,
}

#[derive(serde::Deserialize)]
struct RawService {
    #[serde(rename = "ID")]
    id: ServiceId,
}

/// What a check says and when it said so first; the worst last, of equals the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
struct Verdict {
    #[serde(rename = "Status")]
    status: Severity,
    #[serde(rename = "ModifyIndex", default = "newest")]
    index: u64,
}

/// What is not dated counts as current.
fn newest() -> u64 {
    u64::MAX
}

#[derive(serde::Deserialize)]
struct RawCheck<'a> {
    #[serde(rename = "Node")]
    node: NodeName,
    #[serde(rename = "CheckID", borrow)]
    check_id: Cow<'a, str>,
    #[serde(rename = "Status")]
    status: Severity,
    #[serde(rename = "ModifyIndex", default = "newest")]
    index: u64,
    #[serde(rename = "ServiceID", borrow, default)]
    service_id: Cow<'a, str>,
}

impl RawCheck<'_> {
    fn verdict(&self) -> Verdict {
        Verdict {
            status: self.status,
            index: self.index,
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawPair<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    value: Option<Base64>,
}

impl RawPair<'_> {
    /// The object and its state, if the pair stores one that is known.
    fn state(&self) -> Option<(Fid, HaState)> {
        #[derive(serde::Deserialize)]
        struct Stored {
            state: String,
        }
        let (_, name) = self.key.strip_prefix(M0CONF)?.rsplit_once('/')?;
        let fid = Fid::from_str(name)
            .ok()
            .filter(|fid| fid.fid_type().is_some())?;
        let Stored { state } = serde_json::from_slice(&self.value.as_ref()?.0).ok()?;
        let state = HareState::parse(&state)?.ha_state();
        (state != HaState::Unknown).then_some((fid, state))
    }
}

/// Status of a check, the worst last. `maintenance` is critical: the process is out of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Passing,
    Warning,
    Critical,
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(status: &str) -> Result<Self, String> {
        match status {
            "passing" => Ok(Self::Passing),
            "warning" => Ok(Self::Warning),
            "critical" | "maintenance" => Ok(Self::Critical),
            _ => Err(format!(
                "{status:?} is no status; expected passing, warning, critical or maintenance"
            )),
        }
    }
}

impl From<Severity> for CheckStatus {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Passing => Self::Passing,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

/// A service's ID, which names a process: its fid, or the fid's key in decimal (Hare).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ServiceId(Fid);

impl FromStr for ServiceId {
    type Err = String;

    fn from_str(id: &str) -> Result<Self, String> {
        const FORMS: &str =
            "expected a process fid such as 0x7200000000000001:0x4, or its key in decimal";
        let fid = if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) {
            let key = id
                .parse()
                .map_err(|_| format!("{id:?} does not fit into 64 bits; {FORMS}"))?;
            Fid::typed(FidType::Process, PROCESS_CONTAINER, key)
        } else {
            Fid::from_str(id).map_err(|error| format!("{error}; {FORMS}"))?
        };
        match fid.fid_type() {
            Some(FidType::Process) => Ok(Self(fid)),
            _ => Err(format!("{id:?} is not a process; {FORMS}")),
        }
    }
}

/// A node's name: not empty, at most 255 bytes.
struct NodeName(String);

impl FromStr for NodeName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.len() {
            1..=NAME_MAX => Ok(Self(name.to_owned())),
            0 => Err("the name of a node is empty".to_owned()),
            _ => Err(format!(
                "the name of a node is longer than {NAME_MAX} bytes"
            )),
        }
    }
}

/// A KV value, decoded.
struct Base64(Vec<u8>);

impl FromStr for Base64 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        STANDARD
            .decode(text)
            .map(Self)
            .map_err(|error| format!("not base64: {error}"))
    }
}

/// An object only: a derived struct would take an array of its fields as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// Reads a string through `FromStr`, so that the error is raised where its path is known.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! deserialize_from_str {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    )*};
}

deserialize_from_str!(ServiceId, NodeName, Severity, Base64);
