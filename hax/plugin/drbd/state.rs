//! What DRBD's lines have said so far: changes are merged with it, and what is below an object ends with it.

use std::collections::BTreeMap;

use super::parse::Line;
use crate::plugin::hub::Change;
use crate::plugin::object::{Key, Kind, Object, Value};

/// Objects that are kept; DRBD has no more than 2^20 minors, and nobody uses a tenth of them.
const OBJECTS_MAX: usize = 100_000;

/// There are too many objects; to follow "line N".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is about one object more than the {OBJECTS_MAX} that are kept")]
pub(super) struct Full;

/// The objects, by their keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct State(BTreeMap<Key, Object>);

impl State {
    /// Takes a line over, and says what the hub must be told of it.
    ///
    /// # Errors
    /// There is no room for the object; nothing is changed.
    pub(super) fn take(&mut self, line: Line<'_>) -> Result<Vec<Change>, Full> {
        match line {
            Line::Complete | Line::Other => Ok(Vec::new()),
            Line::Gone(key) => Ok(self.remove(&key)),
            Line::Renamed { from, to } => Ok(self.rename(from, to)),
            Line::Told(told) => {
                let key = told.key();
                let known = self.0.get(&key);
                if known.is_none() && self.0.len() >= OBJECTS_MAX {
                    return Err(Full);
                }
                let object = told.onto(known);
                self.0.insert(key, object.clone());
                Ok(vec![Change::Set(object)])
            }
        }
    }

    /// Everything.
    pub(super) fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        self.0.values().cloned()
    }

    /// Keeps what `older` knows and this does not, as far as there is room.
    pub(super) fn keep(&mut self, older: Self) {
        for (key, object) in older.0 {
            if self.0.len() < OBJECTS_MAX {
                self.0.entry(key).or_insert(object);
            }
        }
    }

    /// Ends the object and what is below it, the lowest first. `drbdsetup` does not name the peer devices of a
    /// connection that ends.
    fn remove(&mut self, top: &Key) -> Vec<Change> {
        let gone = self.below(top);
        for key in &gone {
            self.0.remove(key);
        }
        gone.into_iter().map(Change::Gone).collect()
    }

    fn rename(&mut self, from: &str, to: &str) -> Vec<Change> {
        if from == to {
            return Vec::new();
        }
        let top = Key {
            kind: Kind::Resource,
            id: vec![Value::from(from)],
        };
        let mut changes = Vec::new();
        let mut renamed = Vec::new();
        for key in self.below(&top) {
            renamed.extend(self.0.remove(&key));
            changes.push(Change::Gone(key));
        }
        for mut object in renamed.into_iter().rev() {
            match &mut object {
                Object::Resource(resource) => resource.name = to.to_owned(),
                Object::Device(device) => device.name = to.to_owned(),
                Object::Connection(connection) => connection.name = to.to_owned(),
                Object::PeerDevice(peer_device) => peer_device.name = to.to_owned(),
                _ => {}
            }
            self.0.insert(object.key(), object.clone());
            changes.push(Change::Set(object));
        }
        changes
    }

    /// The object, if it is known, and what is below it; the lowest first.
    fn below(&self, top: &Key) -> Vec<Key> {
        let keys = self.0.keys().rev();
        keys.filter(|key| is_below(key, top)).cloned().collect()
    }
}

/// Whether `key` is `top`, or ends with it. A peer device is (resource, peer, volume).
fn is_below(key: &Key, top: &Key) -> bool {
    match (top.kind, key.kind) {
        (Kind::Resource, _) => key.id.first() == top.id.first(),
        (Kind::Connection, Kind::PeerDevice) => key.id.starts_with(&top.id),
        (Kind::Device, Kind::PeerDevice) => {
            key.id.first() == top.id.first() && key.id.last() == top.id.last()
        }
        _ => key == top,
    }
}
