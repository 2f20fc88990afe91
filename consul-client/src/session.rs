//! Sessions (Consul API, "Sessions").

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::client::{Client, Index, ReadOptions, Response, with_read_options};
use crate::error::Error;
use crate::request::name_path;
use crate::types::{format_duration, null_default, parse_duration};

/// The check Consul keeps for every agent: whether its gossip is alive.
pub const SERF_HEALTH: &str = "serfHealth";

/// Shortest and longest TTL Consul accepts.
const TTL_RANGE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(86_400));
/// Longest lock-delay Consul accepts.
const MAX_LOCK_DELAY: Duration = Duration::from_secs(60);

/// Handle to sessions; see [`Client::session`].
#[derive(Debug, Clone, Copy)]
pub struct Session<'c> {
    client: &'c Client,
    read: ReadOptions,
}

with_read_options!(Session);

/// Identifier of a session: a UUID in its usual notation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

impl SessionId {
    /// The notation Consul uses.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let uuid = text.len() == 36
            && text.bytes().enumerate().all(|(n, byte)| match n {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if !uuid {
            return Err(Error::InvalidArgument {
                what: "session id",
                reason: format!("{text:?} is not a UUID"),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SessionId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happens to the keys a session has locked when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Behavior {
    /// They are unlocked and keep their values.
    #[default]
    Release,
    /// They are deleted.
    Delete,
}

/// Checks a session depends on: it ends when one of them becomes critical or disappears.
///
/// Sent as `NodeChecks` and `ServiceChecks`. The older field `Checks` cannot be combined with an
/// empty list of node checks on Consul 1.8: the session is created, but does not follow them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    /// Identifiers of checks of the node, such as [`SERF_HEALTH`].
    pub node: Vec<String>,
    /// Identifiers of checks of services on the same node, such as `service:<service id>`.
    pub service: Vec<String>,
}

impl Checks {
    /// No check: the session lives until its TTL is over or it is destroyed.
    pub fn none() -> Self {
        Self {
            node: Vec::new(),
            service: Vec::new(),
        }
    }

    /// The node's own health, which is Consul's default.
    pub fn serf_health() -> Self {
        Self {
            node: vec![SERF_HEALTH.to_owned()],
            service: Vec::new(),
        }
    }

    /// These checks and a check of a service.
    #[must_use]
    pub fn and_service(mut self, check_id: impl Into<String>) -> Self {
        self.service.push(check_id.into());
        self
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self::serf_health()
    }
}

/// A session to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Name for humans; may be shared and may be empty.
    pub name: String,
    /// Node the session belongs to; the agent's own when absent.
    pub node: Option<String>,
    /// How long after the session was invalidated nobody can lock its keys: 0 to 60 s.
    pub lock_delay: Duration,
    /// What happens to its keys.
    pub behavior: Behavior,
    /// Time after the last renewal at which Consul may end the session: 10 s to 24 h. Consul
    /// lets up to twice the time pass.
    pub ttl: Option<Duration>,
    /// Checks it depends on.
    pub checks: Checks,
}

impl NewSession {
    /// A session with Consul's defaults: lock-delay 15 s, keys released, no TTL, bound to the
    /// health of the agent's node.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            node: None,
            lock_delay: Duration::from_secs(15),
            behavior: Behavior::Release,
            ttl: None,
            checks: Checks::default(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.lock_delay > MAX_LOCK_DELAY {
            return Err(Error::InvalidArgument {
                what: "lock delay",
                reason: format!("{:?} is more than {MAX_LOCK_DELAY:?}", self.lock_delay),
            });
        }
        if let Some(ttl) = self.ttl
            && (ttl < TTL_RANGE.0 || ttl > TTL_RANGE.1)
        {
            return Err(Error::InvalidArgument {
                what: "session ttl",
                reason: format!(
                    "{ttl:?} is not within {:?} to {:?}",
                    TTL_RANGE.0, TTL_RANGE.1
                ),
            });
        }
        Ok(())
    }
}

/// A session as Consul knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionInfo {
    /// Identifier.
    #[serde(rename = "ID")]
    pub id: SessionId,
    /// Name for humans.
    #[serde(default, deserialize_with = "null_default")]
    pub name: String,
    /// Node it belongs to.
    pub node: String,
    /// How long its keys stay unlockable after its end.
    #[serde(default, deserialize_with = "lock_delay")]
    pub lock_delay: Duration,
    /// What happens to its keys.
    #[serde(default)]
    pub behavior: Behavior,
    /// Its TTL, if it has one.
    #[serde(rename = "TTL", default, deserialize_with = "ttl")]
    pub ttl: Option<Duration>,
    /// Checks of the node it depends on.
    #[serde(default, deserialize_with = "null_default")]
    pub node_checks: Vec<String>,
    /// Checks of services it depends on.
    #[serde(default, deserialize_with = "service_checks")]
    pub service_checks: Vec<String>,
    /// Index of its creation.
    #[serde(default, deserialize_with = "null_default")]
    pub create_index: Index,
    /// Index of its last change.
    #[serde(default, deserialize_with = "null_default")]
    pub modify_index: Index,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    lock_delay: String,
    behavior: Behavior,
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    node_checks: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_checks: Vec<ServiceCheck>,
}

#[derive(Serialize, Deserialize)]
struct ServiceCheck {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "ID")]
    id: SessionId,
}

impl Session<'_> {
    /// Creates a session.
    ///
    /// A check registered with the agent a moment ago may not have reached the servers yet; and
    /// a session cannot be bound to a critical check. Both are [`Error::Status`] with status 500,
    /// hence retryable.
    pub async fn create(&self, session: &NewSession) -> Result<SessionId, Error> {
        session.check()?;
        let checks = session.checks.service.iter();
        let body = CreateBody {
            name: &session.name,
            node: session.node.as_deref(),
            lock_delay: format_duration(session.lock_delay),
            behavior: session.behavior,
            ttl: session.ttl.map(format_duration),
            node_checks: &session.checks.node,
            service_checks: checks.map(|id| ServiceCheck { id: id.clone() }).collect(),
        };
        let request = self.client.put("/v1/session/create".into()).json(&body)?;
        Ok(request.fetch::<Created>().await?.value.id)
    }

    /// Renews a session's TTL. `None` means it does not exist any more.
    pub async fn renew(&self, id: &SessionId) -> Result<Option<SessionInfo>, Error> {
        let request = self.client.put(format!("/v1/session/renew/{id}"));
        match request.fetch::<Vec<SessionInfo>>().await {
            Ok(response) => Ok(response.value.into_iter().next()),
            Err(Error::NotFound { body, .. }) if body.starts_with("Session id") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a session.
    pub async fn info(&self, id: &SessionId) -> Result<Response<Option<SessionInfo>>, Error> {
        let response = self.fetch_list(format!("/v1/session/info/{id}")).await?;
        Ok(response.map(|sessions| sessions.into_iter().next()))
    }

    /// Reads all sessions.
    pub async fn list(&self) -> Result<Response<Vec<SessionInfo>>, Error> {
        self.fetch_list("/v1/session/list".into()).await
    }

    /// Reads the sessions of a node.
    pub async fn node(&self, node: &str) -> Result<Response<Vec<SessionInfo>>, Error> {
        self.fetch_list(name_path("/v1/session/node/", "node", node)?)
            .await
    }

    /// Ends a session. One that does not exist is no error.
    pub async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.client
            .put(format!("/v1/session/destroy/{id}"))
            .execute()
            .await
    }

    async fn fetch_list(&self, path: String) -> Result<Response<Vec<SessionInfo>>, Error> {
        self.client.get(path).read_options(self.read).fetch().await
    }
}

/// Nanoseconds, or Go's notation.
fn lock_delay<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Nanos(u64),
        Text(String),
    }
    match Form::deserialize(from)? {
        Form::Nanos(nanos) => Ok(Duration::from_nanos(nanos)),
        Form::Text(text) => parse_duration(&text).ok_or_else(|| not_a_duration(&text)),
    }
}

fn ttl<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text: String = null_default(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    parse_duration(&text)
        .map(Some)
        .ok_or_else(|| not_a_duration(&text))
}

fn not_a_duration<E: serde::de::Error>(text: &str) -> E {
    E::custom(format!("{text:?} is not a duration"))
}

fn service_checks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let checks: Vec<ServiceCheck> = null_default(from)?;
    Ok(checks.into_iter().map(|check| check.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uuids_are_session_ids() {
        assert!(
            "952435f7-f4cb-ffac-a873-57ee53769c00"
                .parse::<SessionId>()
                .is_ok()
        );
        for text in [
            "",
            "nope",
            "952435f7/f4cb-ffac-a873-57ee53769c00",
            "952435f7",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_checked() {
        let mut session = NewSession::new("x");
        session.ttl = Some(Duration::from_secs(9));
        assert!(session.check().is_err());
        session.ttl = Some(Duration::from_secs(10));
        assert!(session.check().is_ok());
        session.lock_delay = Duration::from_secs(61);
        assert!(session.check().is_err());
    }

    #[test]
    fn both_forms_of_lock_delay() {
        for delay in ["2000000000", "\"2s\""] {
            let text = format!(
                r#"{{"ID":"952435f7-f4cb-ffac-a873-57ee53769c00","Node":"n","LockDelay":{delay},
                    "TTL":"1m0s","ServiceChecks":[{{"ID":"service:a","Namespace":""}}]}}"#
            );
            let info: SessionInfo = serde_json::from_str(&text).unwrap();
            assert_eq!(info.lock_delay, Duration::from_secs(2));
            assert_eq!(info.ttl, Some(Duration::from_secs(60)));
            assert_eq!(info.service_checks, ["service:a"]);
        }
    }
}
