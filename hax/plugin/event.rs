//! A change of an object (rfc/14, "Events").

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::hub::World;
use super::object::{Key, Object};

/// Milliseconds since 1970, for people.
pub type UnixMillis = u64;

/// What has happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// It is there: told to an instance that starts or has missed events.
    Exists,
    /// It is there and was not before.
    Create,
    /// A field that is not a statistic differs.
    Change,
    /// It is gone.
    Destroy,
}

impl EventKind {
    /// Its word, in configuration, environment and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Create => "create",
            Self::Change => "change",
            Self::Destroy => "destroy",
        }
    }
}

/// A change of an object; cheap to clone.
#[derive(Debug, Clone)]
pub struct Event {
    /// Grows with every event of the hub; that of a replay is the one of the last event before it.
    pub number: u64,
    /// When the hub learned of it.
    pub at: UnixMillis,
    /// What has happened.
    pub kind: EventKind,
    /// To what.
    pub key: Arc<Key>,
    /// The state before: of `change` and `destroy`.
    pub old: Option<Arc<Object>>,
    /// The state now: of all but `destroy`.
    pub new: Option<Arc<Object>>,
    /// Everything, right after the event.
    pub world: World,
}

/// The time of day.
pub(super) fn now() -> UnixMillis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
