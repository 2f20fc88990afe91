//! What is in a request and in a response.

use std::fmt::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::FileName;
use crate::fence::model::{Action, BadName, NodeName, OpId};

/// Bytes of the message of a response that are kept.
pub const MESSAGE_MAX: usize = 1024;

/// How much older than its request a response may say to be: clocks of two machines differ.
const SKEW_SECONDS: i64 = 5;

/// A request. Others may add members; these are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its number.
    pub request_id: OpId,
    /// When it was written: RFC 3339, UTC, in seconds.
    pub timestamp: String,
    /// `off`, `on` or `reboot`; whatever else another's recorder writes is no fencing action.
    pub action: String,
    /// What is to be fenced.
    pub target_node: NodeName,
    /// The node that asks.
    pub recorder_node: String,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The request's number.
    pub request_id: OpId,
    /// Whether it was done. A text is not a boolean.
    pub success: bool,
    /// What was done.
    pub action_performed: String,
    /// To whom.
    pub target_node: NodeName,
    /// Why, for people.
    #[serde(default)]
    pub message: String,
    /// When: RFC 3339.
    pub timestamp: String,
}

/// A file that is no request, or no response, or one of another request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The JSON is not whole, or its members are not of their types.
    #[error("it cannot be read: {0}")]
    Json(String),
    /// A time cannot be read.
    #[error("its timestamp {0:?} is not a time as RFC 3339 has it")]
    Timestamp(String),
    /// It is not what its name says.
    #[error("its {member} is {found:?}, and should be {expected:?}")]
    Mismatch {
        /// Which member.
        member: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Something else was done.
    #[error("it says that {performed:?} was performed, where {asked} was asked for")]
    Action {
        /// What was done.
        performed: String,
        /// What was asked for.
        asked: &'static str,
    },
    /// It was written before the request.
    #[error("it is of {0}, and older than the request")]
    Older(String),
}

/// The time of day as requests and responses write it: UTC, in seconds.
pub fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}

/// Seconds since 1970 of a time as RFC 3339 has it.
///
/// # Errors
/// It is none.
pub fn seconds(timestamp: &str) -> Result<i64, Malformed> {
    let parsed: Result<Timestamp, _> = timestamp.parse();
    let parsed = parsed.map_err(|_| Malformed::Timestamp(plain(timestamp, 64)))?;
    Ok(parsed.as_second())
}

/// A text as one line without control characters, of at most `max` bytes: fit for a log.
pub(crate) fn plain(text: &str, max: usize) -> String {
    let mut line = String::new();
    for char in text.chars() {
        let before = line.len();
        if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') {
            let _ = write!(line, "{}", char.escape_default());
        } else {
            line.push(char);
        }
        if line.len() > max {
            line.truncate(before);
            break;
        }
    }
    line
}

impl Request {
    /// A new one, of now.
    pub fn new(action: Action, target_node: NodeName, recorder_node: String) -> Self {
        Self {
            request_id: OpId::new(),
            timestamp: now(),
            action: action.as_str().to_owned(),
            target_node,
            recorder_node,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is none; unknown members are fine.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let request: Self = json(bytes)?;
        seconds(&request.timestamp)?;
        Ok(request)
    }

    /// The name of its file.
    ///
    /// # Errors
    /// The target's name is too long for a file.
    pub fn file(&self) -> Result<FileName, BadName> {
        FileName::new(self.target_node.clone(), self.request_id.clone())
    }

    /// What is asked for; none: not a fencing action.
    pub fn fencing_action(&self) -> Option<Action> {
        [Action::Off, Action::On, Action::Reboot]
            .into_iter()
            .find(|action| action.as_str() == self.action)
    }

    /// Whether the target is as was asked for after `performed`. `off` will do for a reboot, as with fence
    /// agents: the target is fenced.
    pub fn is_done_by(&self, performed: &str) -> bool {
        match self.fencing_action() {
            None => false,
            Some(Action::Reboot) => matches!(performed, "reboot" | "off"),
            Some(action) => performed == action.as_str(),
        }
    }

    /// Whether it is what the name of its file says.
    ///
    /// # Errors
    /// Which member is not.
    pub fn agrees(&self, name: &FileName) -> Result<(), Malformed> {
        same("request_id", self.request_id.as_str(), name.id().as_str())?;
        same(
            "target_node",
            self.target_node.as_str(),
            name.node().as_str(),
        )
    }
}

impl Response {
    /// Reads one.
    ///
    /// # Errors
    /// It is none; unknown members are fine.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut response: Self = json(bytes)?;
        seconds(&response.timestamp)?;
        response.message = plain(&response.message, MESSAGE_MAX);
        Ok(response)
    }

    /// Whether it is the answer to this request. A success must say that the action was performed that was
    /// asked for ([`Request::is_done_by`]).
    ///
    /// # Errors
    /// Why it is not.
    pub fn answers(&self, request: &Request) -> Result<(), Malformed> {
        same(
            "request_id",
            self.request_id.as_str(),
            request.request_id.as_str(),
        )?;
        same(
            "target_node",
            self.target_node.as_str(),
            request.target_node.as_str(),
        )?;
        if seconds(&self.timestamp)?.saturating_add(SKEW_SECONDS) < seconds(&request.timestamp)? {
            return Err(Malformed::Older(self.timestamp.clone()));
        }
        if self.success && !request.is_done_by(&self.action_performed) {
            let asked = request.fencing_action();
            return Err(Malformed::Action {
                performed: plain(&self.action_performed, 64),
                asked: asked.map_or("nothing", Action::as_str),
            });
        }
        Ok(())
    }
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(bytes).map_err(|error| Malformed::Json(plain(&error.to_string(), 256)))
}

fn same(member: &'static str, found: &str, expected: &str) -> Result<(), Malformed> {
    if found == expected {
        return Ok(());
    }
    Err(Malformed::Mismatch {
        member,
        found: found.to_owned(),
        expected: expected.to_owned(),
    })
}

#[cfg(test)]
mod tests;
