//! The hub: keeps every object and makes events of what sources say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpds::RedBlackTreeMapSync;
use serde::Serialize;

use super::event::{Event, EventKind, UnixMillis, now};
use super::feed::{Feed, Line};
use super::object::{Key, Object};

/// Every object by its key; cloning it is cheap, and a clone does not change.
pub type World = RedBlackTreeMapSync<Arc<Key>, Arc<Object>>;

/// Where objects come from. An object belongs to the source that told of it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceId {
    /// Links, leader and queue.
    Bridge,
    /// Processes, services, nodes and checks.
    View,
    /// Operations of fencing.
    Fence,
    /// `drbdsetup events2`.
    Drbd,
}

/// What a source says.
#[derive(Debug, Clone)]
pub enum Change {
    /// The object is this now.
    Set(Object),
    /// The object is gone.
    Gone(Key),
}

/// How a source is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// Whether it is being watched.
    pub up: bool,
    /// How often it had to be started again.
    pub restarts: u64,
    /// Lines, or the like, that were not understood.
    pub malformed: u64,
    /// What went wrong last, and when.
    pub error: Option<(UnixMillis, String)>,
}

/// The way to the hub. Cheap to clone; no call waits for a reader.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    number: u64,
    world: World,
    owned: BTreeMap<SourceId, BTreeSet<Arc<Key>>>,
    lines: Vec<Arc<Line>>,
    sources: BTreeMap<SourceId, SourceStatus>,
}

impl Hub {
    /// Takes what a source says over, in its order.
    pub fn apply(&self, source: SourceId, changes: impl IntoIterator<Item = Change>) {
        let mut inner = self.lock();
        for change in changes {
            match change {
                Change::Set(object) => inner.set(source, object),
                Change::Gone(key) => inner.gone(source, &key),
            }
        }
    }

    /// Takes over everything that a source knows: objects it told of before and does not name now are gone.
    pub fn resync(&self, source: SourceId, objects: impl IntoIterator<Item = Object>) {
        let mut inner = self.lock();
        let mut left = inner.owned.get(&source).cloned().unwrap_or_default();
        for object in objects {
            left.remove(&object.key());
            inner.set(source, object);
        }
        for key in left {
            inner.gone(source, &key);
        }
    }

    /// A feed that begins with every object, and may hold `max` events.
    pub fn subscribe(&self, max: usize) -> Feed {
        let mut inner = self.lock();
        let line = Arc::new(Line::new(max, inner.number, inner.world.clone()));
        inner.lines.push(Arc::clone(&line));
        Feed::new(line, self.clone())
    }

    /// Everything as it is now.
    pub fn world(&self) -> World {
        self.lock().world.clone()
    }

    /// The number of the last event.
    pub fn number(&self) -> u64 {
        self.lock().number
    }

    /// Notes how a source is.
    pub fn set_status(&self, source: SourceId, change: impl FnOnce(&mut SourceStatus)) {
        change(self.lock().sources.entry(source).or_default());
    }

    /// How the sources are.
    pub fn sources(&self) -> BTreeMap<SourceId, SourceStatus> {
        self.lock().sources.clone()
    }

    pub(super) fn forget(&self, line: &Arc<Line>) {
        self.lock().lines.retain(|other| !Arc::ptr_eq(other, line));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set(&mut self, source: SourceId, object: Object) {
        let key = Arc::new(object.key());
        let object = Arc::new(object);
        let old = self.world.get(&key).cloned();
        if old.as_ref().is_some_and(|old| **old == *object) {
            return;
        }
        self.world.insert_mut(Arc::clone(&key), Arc::clone(&object));
        let kind = match &old {
            None => {
                self.owned
                    .entry(source)
                    .or_default()
                    .insert(Arc::clone(&key));
                EventKind::Create
            }
            // Statistics alone make no event.
            Some(old) if old.fields() == object.fields() => return,
            Some(_) => EventKind::Change,
        };
        self.publish(kind, key, old, Some(object));
    }

    fn gone(&mut self, source: SourceId, key: &Key) {
        let owned = self.owned.entry(source).or_default();
        let Some(key) = owned.take(key) else {
            return;
        };
        let old = self.world.get(&key).cloned();
        self.world.remove_mut(&key);
        self.publish(EventKind::Destroy, key, old, None);
    }

    fn publish(
        &mut self,
        kind: EventKind,
        key: Arc<Key>,
        old: Option<Arc<Object>>,
        new: Option<Arc<Object>>,
    ) {
        self.number += 1;
        let event = Event {
            number: self.number,
            at: now(),
            kind,
            key,
            old,
            new,
            world: self.world.clone(),
        };
        for line in &self.lines {
            line.push(&event);
        }
    }
}
