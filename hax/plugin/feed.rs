//! What an instance is told: a bounded queue that is emptied, not waited for, when it is full.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::{Event, EventKind, now};
use super::hub::{Hub, World};

/// What comes out of a feed.
#[derive(Debug, Clone)]
pub enum Told {
    /// An event.
    Event(Event),
    /// The feed was full: so many events were left out. Every object follows as `exists`.
    Missed(u64),
}

/// The queue between the hub and one instance.
#[derive(Debug)]
pub(super) struct Line {
    max: usize,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug)]
struct Queue {
    events: VecDeque<Event>,
    /// A world to be replayed before the events, with the number of its last event.
    replay: Option<(u64, World)>,
    /// Missed, and the instance was not told yet.
    untold: u64,
    missed_in_all: u64,
}

impl Line {
    pub(super) fn new(max: usize, number: u64, world: World) -> Self {
        let queue = Queue {
            events: VecDeque::new(),
            replay: Some((number, world)),
            untold: 0,
            missed_in_all: 0,
        };
        Self {
            max: max.max(1),
            queue: Mutex::new(queue),
            arrived: Notify::new(),
        }
    }

    pub(super) fn push(&self, event: &Event) {
        let mut queue = self.lock();
        if queue.events.len() < self.max {
            queue.events.push_back(event.clone());
        } else {
            let missed = queue.events.len() as u64 + 1;
            queue.events.clear();
            queue.untold += missed;
            queue.missed_in_all += missed;
            queue.replay = Some((event.number, event.world.clone()));
        }
        drop(queue);
        self.arrived.notify_one();
    }

    /// Events left out since the feed was made, in all.
    pub(super) fn missed(&self) -> u64 {
        self.lock().missed_in_all
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance's end of its queue.
#[derive(Debug)]
pub struct Feed {
    line: Arc<Line>,
    hub: Hub,
    /// The rest of a replay.
    replay: VecDeque<Event>,
}

impl Feed {
    pub(super) fn new(line: Arc<Line>, hub: Hub) -> Self {
        Self {
            line,
            hub,
            replay: VecDeque::new(),
        }
    }

    /// The next event; waits for one. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Told {
        let line = Arc::clone(&self.line);
        loop {
            let arrived = line.arrived.notified();
            if let Some(told) = self.take() {
                return told;
            }
            arrived.await;
        }
    }

    /// The next event, if there is one.
    pub fn take(&mut self) -> Option<Told> {
        let mut queue = self.line.lock();
        // An overflow while a replay is under way begins it anew, with what is newer.
        if queue.untold > 0 {
            self.replay.clear();
            return Some(Told::Missed(std::mem::take(&mut queue.untold)));
        }
        if let Some((number, world)) = queue.replay.take() {
            let at = now();
            let exists = |(key, object): (&Arc<_>, &Arc<_>)| Event {
                number,
                at,
                kind: EventKind::Exists,
                key: Arc::clone(key),
                old: None,
                new: Some(Arc::clone(object)),
                world: world.clone(),
            };
            self.replay = world.iter().map(exists).collect();
        }
        let event = self.replay.pop_front();
        event.or_else(|| queue.events.pop_front()).map(Told::Event)
    }

    /// Everything as it is now.
    pub fn world(&self) -> World {
        self.hub.world()
    }

    /// The hub, for an instance that shows how sources are.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Events left out since the feed was made, in all.
    pub fn missed(&self) -> u64 {
        self.line.missed()
    }

    /// The queue, for who counts what is left out while the instance has the feed.
    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.hub.forget(&self.line);
    }
}
