//! Messages that Consul refuses for good, kept for an operator (`rfc/7-ordering.md`, "Dead
//! letters"). They stay unacknowledged, so that Motr keeps them too, until a later status of the
//! process is written: sent again after that, an old one would undo it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use halink::{Ack, Fid, LinkId};
use serde::Serialize;

use super::job::{Job, Task};

/// Letters kept; one more drops the oldest, which Motr keeps until the bridge is restarted.
pub const LETTERS_MAX: usize = 256;

/// One letter, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LetterRow {
    /// Names it in this run of the bridge.
    pub id: u64,
    /// What was to be done.
    pub what: String,
    /// The process whose status was to be written.
    pub process: Option<Fid>,
    /// The event it reported; none for an isolation.
    pub event: Option<String>,
    /// The link the message came on.
    pub link: u64,
    /// Seconds since the epoch at which Consul refused it.
    pub refused_at: u64,
    /// What Consul said.
    pub error: String,
}

#[derive(Debug)]
struct Letter<A> {
    id: u64,
    refused_at: SystemTime,
    error: String,
    job: Job<A>,
}

/// Letters of a process that are being handled again.
#[derive(Debug, Default)]
struct Replay {
    letters: usize,
    /// Number of the newest message written meanwhile.
    written: Option<u64>,
}

#[derive(Debug)]
struct Inner<A> {
    next: u64,
    letters: VecDeque<Letter<A>>,
    replays: HashMap<Fid, Replay>,
}

/// The dead letters.
#[derive(Debug)]
pub struct DeadLetters<A = Ack>(Mutex<Inner<A>>);

impl<A> Default for DeadLetters<A> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            next: 1,
            letters: VecDeque::new(),
            replays: HashMap::new(),
        }))
    }
}

impl<A> DeadLetters<A> {
    /// Keeps a message. Returns its ID, and whether the oldest had to go for it.
    pub fn add(&self, job: Job<A>, error: String) -> (u64, bool) {
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        inner.letters.push_back(Letter {
            id,
            refused_at: SystemTime::now(),
            error,
            job,
        });
        let full = inner.letters.len() > LETTERS_MAX;
        if full {
            inner.letters.pop_front();
        }
        (id, full)
    }

    /// Takes a letter out to be handled again; [`Self::settled`] follows.
    pub fn take(&self, id: u64) -> Option<Job<A>> {
        let mut inner = self.lock();
        let place = inner.letters.iter().position(|letter| letter.id == id)?;
        let mut job = inner.letters.remove(place)?.job;
        job.replayed = true;
        if let Some(process) = job.task.process() {
            inner.replays.entry(process).or_default().letters += 1;
        }
        Some(job)
    }

    /// A letter that was taken out has been handled.
    pub fn settled(&self, task: &Task) {
        let mut inner = self.lock();
        let Some(process) = task.process() else {
            return;
        };
        if let Some(replay) = inner.replays.get_mut(&process) {
            replay.letters = replay.letters.saturating_sub(1);
            if replay.letters == 0 {
                inner.replays.remove(&process);
            }
        }
    }

    /// A message of a process has been written. Takes out the letters it supersedes: they are to be
    /// acknowledged.
    pub fn written(&self, process: Fid, number: u64) -> Vec<Job<A>> {
        let mut inner = self.lock();
        if let Some(replay) = inner.replays.get_mut(&process) {
            replay.written = replay.written.max(Some(number));
        }
        let superseded = |letter: &Letter<A>| {
            letter.job.task.process() == Some(process) && letter.job.number < number
        };
        if !inner.letters.iter().any(superseded) {
            return Vec::new();
        }
        let (taken, kept): (Vec<_>, Vec<_>) = inner.letters.drain(..).partition(superseded);
        inner.letters = kept.into();
        taken.into_iter().map(|letter| letter.job).collect()
    }

    /// Whether a message that is handled again has been overtaken by a later one of its process.
    pub fn is_superseded(&self, task: &Task, number: u64) -> bool {
        let inner = self.lock();
        let replay = task
            .process()
            .and_then(|process| inner.replays.get(&process));
        replay.is_some_and(|replay| replay.written > Some(number))
    }

    /// IDs of all letters, the oldest first.
    pub fn ids(&self) -> Vec<u64> {
        self.lock().letters.iter().map(|letter| letter.id).collect()
    }

    /// All letters, the oldest first.
    pub fn rows(&self) -> Vec<LetterRow> {
        let inner = self.lock();
        inner.letters.iter().map(Letter::row).collect()
    }

    /// Processes of which letters are being handled again.
    #[cfg(test)]
    pub(super) fn replays(&self) -> usize {
        self.lock().replays.len()
    }

    /// No code panics with the lock held, so a poisoned list is still a whole one.
    fn lock(&self) -> MutexGuard<'_, Inner<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Letter<A> {
    fn row(&self) -> LetterRow {
        let Job { link, task, .. } = &self.job;
        let LinkId(link) = *link;
        let event = match task {
            Task::Status { status, .. } => Some(status.event.to_string()),
            Task::Get(_) | Task::Isolate(_) => None,
        };
        let since_epoch = self.refused_at.duration_since(SystemTime::UNIX_EPOCH);
        LetterRow {
            id: self.id,
            what: self.job.to_string(),
            process: task.process(),
            event,
            link,
            refused_at: since_epoch.unwrap_or_default().as_secs(),
            error: self.error.clone(),
        }
    }
}
