//! Messages that Consul refuses for good, kept for an operator (`rfc/7-ordering.md`, "Dead
//! letters"). They stay unacknowledged: Motr keeps them too.

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
    /// A later message of the process has been written: a replay acknowledges it and writes nothing.
    pub superseded: bool,
}

#[derive(Debug)]
struct Letter<A> {
    id: u64,
    refused_at: SystemTime,
    error: String,
    job: Job<A>,
}

/// What is known of a process that has letters, or had until they were replayed.
#[derive(Debug, Default)]
struct Watched {
    letters: usize,
    /// Number of the newest message written.
    written: Option<u64>,
}

#[derive(Debug)]
struct Inner<A> {
    next: u64,
    letters: VecDeque<Letter<A>>,
    watched: HashMap<Fid, Watched>,
}

/// The dead letters.
#[derive(Debug)]
pub struct DeadLetters<A = Ack>(Mutex<Inner<A>>);

impl<A> Default for DeadLetters<A> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            next: 1,
            letters: VecDeque::new(),
            watched: HashMap::new(),
        }))
    }
}

impl<A> DeadLetters<A> {
    /// Keeps a message. Returns its ID, and whether the oldest had to go for it.
    pub fn add(&self, job: Job<A>, error: String) -> (u64, bool) {
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        if let Some(process) = job.task.process() {
            inner.watched.entry(process).or_default().letters += 1;
        }
        inner.letters.push_back(Letter {
            id,
            refused_at: SystemTime::now(),
            error,
            job,
        });
        let full = inner.letters.len() > LETTERS_MAX;
        if full && let Some(oldest) = inner.letters.pop_front() {
            inner.settle(oldest.job.task.process());
        }
        (id, full)
    }

    /// Takes a letter out to be handled again; [`Self::settled`] follows.
    pub fn take(&self, id: u64) -> Option<Job<A>> {
        let mut inner = self.lock();
        let place = inner.letters.iter().position(|letter| letter.id == id)?;
        let mut job = inner.letters.remove(place)?.job;
        job.replayed = true;
        Some(job)
    }

    /// A letter that was taken out has been handled.
    pub fn settled(&self, task: &Task) {
        self.lock().settle(task.process());
    }

    /// A message of a process has been written.
    pub fn written(&self, process: Fid, number: u64) {
        if let Some(watched) = self.lock().watched.get_mut(&process) {
            watched.written = watched.written.max(Some(number));
        }
    }

    /// Whether a later message of its process has been written.
    pub fn is_superseded(&self, task: &Task, number: u64) -> bool {
        self.lock().is_superseded(task, number)
    }

    /// IDs of all letters, the oldest first.
    pub fn ids(&self) -> Vec<u64> {
        self.lock().letters.iter().map(|letter| letter.id).collect()
    }

    /// All letters, the oldest first.
    pub fn rows(&self) -> Vec<LetterRow> {
        let inner = self.lock();
        inner
            .letters
            .iter()
            .map(|letter| inner.row(letter))
            .collect()
    }

    /// No code panics with the lock held, so a poisoned list is still a whole one.
    fn lock(&self) -> MutexGuard<'_, Inner<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Inner<A> {
    fn settle(&mut self, process: Option<Fid>) {
        let Some(process) = process else { return };
        if let Some(watched) = self.watched.get_mut(&process) {
            watched.letters = watched.letters.saturating_sub(1);
            if watched.letters == 0 {
                self.watched.remove(&process);
            }
        }
    }

    fn is_superseded(&self, task: &Task, number: u64) -> bool {
        let watched = task
            .process()
            .and_then(|process| self.watched.get(&process));
        watched.is_some_and(|watched| watched.written > Some(number))
    }

    fn row(&self, letter: &Letter<A>) -> LetterRow {
        let Job {
            number, link, task, ..
        } = &letter.job;
        let LinkId(link) = *link;
        let event = match task {
            Task::Status { status, .. } => Some(status.event.to_string()),
            Task::Get(_) | Task::Isolate(_) => None,
        };
        let since_epoch = letter.refused_at.duration_since(SystemTime::UNIX_EPOCH);
        LetterRow {
            id: letter.id,
            what: letter.job.to_string(),
            process: task.process(),
            event,
            link,
            refused_at: since_epoch.unwrap_or_default().as_secs(),
            error: letter.error.clone(),
            superseded: self.is_superseded(task, *number),
        }
    }
}
