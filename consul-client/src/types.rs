//! Data shared by the catalog, health and agent APIs and by the payloads of Consul's watches.
//!
//! Consul writes `null` for empty lists and maps, and differs between versions in which fields it
//! writes at all. So unknown fields are ignored, and a missing or `null` field is the default,
//! unless the value would be meaningless without it.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::Index;

/// A node of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// Node name.
    #[serde(rename = "Node")]
    pub name: String,
    /// UUID of the agent; empty for nodes registered without one.
    #[serde(rename = "ID", default, deserialize_with = "null_default")]
    pub id: String,
    /// Address of the node.
    #[serde(default, deserialize_with = "null_default")]
    pub address: String,
    /// Datacenter of the node.
    #[serde(default, deserialize_with = "null_default")]
    pub datacenter: String,
    /// Addresses by purpose: `lan`, `wan`.
    #[serde(default, deserialize_with = "null_default")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// Metadata.
    #[serde(default, deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    /// Index of the node's creation.
    #[serde(default, deserialize_with = "null_default")]
    pub create_index: Index,
    /// Index of its last change.
    #[serde(default, deserialize_with = "null_default")]
    pub modify_index: Index,
}

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    /// Identifier, unique on its node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Service name.
    #[serde(rename = "Service")]
    pub name: String,
    /// Tags.
    #[serde(default, deserialize_with = "null_default")]
    pub tags: Vec<String>,
    /// Metadata.
    #[serde(default, deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    /// Address; empty means the node's.
    #[serde(default, deserialize_with = "null_default")]
    pub address: String,
    /// Port. Consul does not check its range, so neither do we.
    #[serde(default, deserialize_with = "null_default")]
    pub port: i64,
    /// Index of the service's creation; zero from the agent API.
    #[serde(default, deserialize_with = "null_default")]
    pub create_index: Index,
    /// Index of its last change; zero from the agent API.
    #[serde(default, deserialize_with = "null_default")]
    pub modify_index: Index,
}

/// A health check with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthCheck {
    /// Node the check runs on.
    #[serde(default, deserialize_with = "null_default")]
    pub node: String,
    /// Identifier, unique on its node: `serfHealth`, `service:<service id>`, ...
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// Human readable name.
    #[serde(default, deserialize_with = "null_default")]
    pub name: String,
    /// State.
    pub status: CheckStatus,
    /// Notes for humans.
    #[serde(default, deserialize_with = "null_default")]
    pub notes: String,
    /// What the check printed last.
    #[serde(default, deserialize_with = "null_default")]
    pub output: String,
    /// Service the check belongs to; empty for a check of the node.
    #[serde(rename = "ServiceID", default, deserialize_with = "null_default")]
    pub service_id: String,
    /// Name of that service.
    #[serde(default, deserialize_with = "null_default")]
    pub service_name: String,
    /// Tags of that service.
    #[serde(default, deserialize_with = "null_default")]
    pub service_tags: Vec<String>,
    /// Kind of the check (`ttl`, `http`, ...); empty before Consul 1.7.
    #[serde(rename = "Type", default, deserialize_with = "null_default")]
    pub kind: String,
    /// Index of the check's creation; zero from the agent API.
    #[serde(default, deserialize_with = "null_default")]
    pub create_index: Index,
    /// Index of its last change; zero from the agent API.
    #[serde(default, deserialize_with = "null_default")]
    pub modify_index: Index,
}

/// State of a health check. Any other word is a decoding error.
///
/// Ordered from good to bad, so the state of several checks is their maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// All is well.
    Passing,
    /// Needs attention, still serving.
    Warning,
    /// Not serving.
    Critical,
    /// Taken out of service by the operator.
    Maintenance,
}

impl CheckStatus {
    /// The word Consul uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Maintenance => "maintenance",
        }
    }
}

/// A service instance with its node and all checks that concern it: the element of
/// `/v1/health/service/<name>` and of the payload of a watch of type `service` (5/HAX).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceEntry {
    /// Where the service runs.
    pub node: Node,
    /// The service.
    pub service: Service,
    /// Checks of the node and of the service.
    #[serde(default, deserialize_with = "null_default")]
    pub checks: Vec<HealthCheck>,
}

impl ServiceEntry {
    /// The worst state among the checks; passing when there are none.
    pub fn status(&self) -> CheckStatus {
        self.checks
            .iter()
            .map(|check| check.status)
            .max()
            .unwrap_or(CheckStatus::Passing)
    }
}

pub(crate) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Bytes that travel as base64, or as `null` when there are none.
pub(crate) mod base64_bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("base64 or null")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                STANDARD
                    .decode(text)
                    .map_err(|e| E::custom(format!("not base64: {e}")))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
                from.deserialize_str(self)
            }
        }

        from.deserialize_option(Visitor)
    }
}

/// A duration in the notation of Go, whole milliseconds.
pub(crate) fn format_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Parses Go's notation (`1h2m3.5s`, `500ms`). Signs are not accepted: no duration of Consul is
/// negative.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        rest = &rest[end..];
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("2ms", 2),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("0s"), Some(Duration::ZERO));
        for text in ["", "10", "s", "-1s", "1d", "1e999s", "10s5"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(format_duration(Duration::from_secs(2)), "2000ms");
    }

    #[test]
    fn nulls_and_unknown_fields_are_tolerated() {
        let entry: ServiceEntry = serde_json::from_str(
            r#"{"Node":{"Node":"n","Meta":null,"TaggedAddresses":null,"PeerName":"x"},
                "Service":{"ID":"0","Service":"confd","Tags":null,"Meta":null,"Connect":{}},
                "Checks":null,"More":1}"#,
        )
        .unwrap();
        assert_eq!(entry.node.name, "n");
        assert_eq!(entry.service.id, "0");
        assert_eq!(entry.status(), CheckStatus::Passing);
    }

    #[test]
    fn unknown_check_status_is_named() {
        let error = serde_json::from_str::<HealthCheck>(r#"{"CheckID":"c","Status":"unwell"}"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("unwell") && error.contains("passing"),
            "{error}"
        );
    }

    #[test]
    fn the_worst_check_counts() {
        assert!(CheckStatus::Passing < CheckStatus::Warning);
        assert!(CheckStatus::Warning < CheckStatus::Critical);
    }
}
