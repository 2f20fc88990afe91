//! The queue of requests: whose turn it is, and which entrypoint request has waited too long.
//!
//! Pure: time comes in as an argument. The rules are in `rfc/7-ordering.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use halink::Fid;
use tokio::time::Instant;

use super::request::{Asked, Item, Key, Message, Request, Run, ToldAgain};

/// A process is told EAGAIN at most once in this time (7/ORDER, O6). Motr asks again at once.
pub const PAUSE: Duration = Duration::from_secs(1);

/// Requests in one run. Two transactions full of process events, or an answer to a burst of
/// starting processes; what is more waits for the next run.
pub const RUN_MAX: usize = 64;

/// Requests that mode `lanes` looks at for one that nothing keeps waiting. Beyond it a request
/// waits as in mode `queue`.
pub(super) const SCAN_MAX: usize = 1_024;

/// Which requests are kept in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All of them (5/HAX).
    Queue,
    /// Those of one link, and those about one process.
    Lanes,
}

/// Requests in the order of arrival.
#[derive(Debug)]
pub struct Queue<M> {
    mode: Mode,
    items: BTreeMap<u64, Item<M>>,
    /// The entrypoint requests among the items.
    entrypoints: BTreeSet<u64>,
    arrivals: u64,
    told_again: HashMap<Fid, Instant>,
    timeout: Duration,
}

impl<M: Message> Queue<M> {
    /// An empty queue; `timeout` is the bound of an entrypoint request (7/ORDER, O5).
    pub fn new(mode: Mode, timeout: Duration) -> Self {
        Self {
            mode,
            items: BTreeMap::new(),
            entrypoints: BTreeSet::new(),
            arrivals: 0,
            told_again: HashMap::new(),
            timeout,
        }
    }

    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a request at the end.
    pub fn push(&mut self, request: Request<M>, arrived: Instant) {
        let number = self.arrivals;
        self.arrivals += 1;
        if matches!(request, Request::Entrypoint(_)) {
            self.entrypoints.insert(number);
        }
        self.items.insert(number, Item { request, arrived });
    }

    /// Takes the requests whose turn it is; `busy` is what those in hand are to be kept in order
    /// with. In mode `queue` it is called while nothing is in hand.
    ///
    /// A paused entrypoint request holds back what must stay behind it: in mode `queue` later
    /// entrypoint requests, in mode `lanes` what shares a key with it.
    pub fn next(&mut self, now: Instant, busy: &HashSet<Key>) -> Option<Run<M>> {
        let taken = match self.mode {
            Mode::Queue => self.adjacent(now),
            Mode::Lanes => self.unblocked(now, busy),
        };
        self.take(&taken)
    }

    /// The run at the head: requests that join the first one, until one that does not.
    fn adjacent(&self, now: Instant) -> Vec<u64> {
        let mut taken: Vec<u64> = Vec::new();
        let mut first: Option<&Request<M>> = None;
        let mut paused = false;
        for (number, item) in &self.items {
            if let Request::Entrypoint(request) = &item.request {
                paused = paused || self.is_paused(request.process, now);
                if paused {
                    continue;
                }
            }
            match first {
                None => first = Some(&item.request),
                Some(first) if !item.request.joins(first) => break,
                Some(_) => {}
            }
            taken.push(*number);
            if taken.len() == RUN_MAX {
                break;
            }
        }
        taken
    }

    /// The first request that nothing before it or in hand keeps waiting, and those that join it.
    fn unblocked(&self, now: Instant, busy: &HashSet<Key>) -> Vec<u64> {
        let mut taken: Vec<u64> = Vec::new();
        let mut first: Option<&Request<M>> = None;
        let mut blocked = busy.clone();
        for (number, item) in self.items.iter().take(SCAN_MAX) {
            let paused = match &item.request {
                Request::Entrypoint(request) => self.is_paused(request.process, now),
                Request::Message(_) => false,
            };
            let joins = first.is_none_or(|first| item.request.joins(first));
            if paused || !joins || item.request.keys().any(|key| blocked.contains(&key)) {
                blocked.extend(item.request.keys());
                continue;
            }
            first = first.or(Some(&item.request));
            taken.push(*number);
            if taken.len() == RUN_MAX {
                break;
            }
        }
        taken
    }

    fn take(&mut self, taken: &[u64]) -> Option<Run<M>> {
        let mut entrypoints = Vec::new();
        let mut messages = Vec::new();
        for number in taken {
            let Some(item) = self.items.remove(number) else {
                continue;
            };
            let deadline = self.deadline(&item);
            match item.request {
                Request::Entrypoint(request) => {
                    self.entrypoints.remove(number);
                    let deadline = deadline.unwrap_or(item.arrived);
                    entrypoints.push(Asked {
                        request,
                        arrived: item.arrived,
                        deadline,
                    });
                }
                Request::Message(message) => messages.push(message),
            }
        }
        if !entrypoints.is_empty() {
            Some(Run::Entrypoints(entrypoints))
        } else if !messages.is_empty() {
            Some(Run::Messages(messages))
        } else {
            None
        }
    }

    /// Takes an entrypoint request that has waited up to its bound: it is to be answered EAGAIN.
    /// In mode `queue` only the first may go, and only while none is in hand (7/ORDER, O2); in
    /// mode `lanes` the first of its process, if none of that process is in hand.
    pub fn expired(&mut self, now: Instant, busy: &HashSet<Key>) -> Option<Item<M>> {
        let number = match self.mode {
            Mode::Queue => self
                .entrypoints
                .first()
                .copied()
                .filter(|_| busy.is_empty()),
            Mode::Lanes => self
                .first_of_each(busy)
                .into_iter()
                .find(|(_, item)| self.deadline(item).is_some_and(|at| at <= now))
                .map(|(number, _)| number),
        }?;
        let item = self.items.get(&number)?;
        if self.deadline(item)? > now {
            return None;
        }
        self.entrypoints.remove(&number);
        self.items.remove(&number)
    }

    /// When `next` or `expired` may have a new answer though nothing has arrived.
    pub fn wake_at(&self, now: Instant, busy: &HashSet<Key>) -> Option<Instant> {
        let first = match self.mode {
            Mode::Queue if !busy.is_empty() => return None,
            Mode::Queue => {
                let number = self.entrypoints.first()?;
                vec![(*number, self.items.get(number)?)]
            }
            Mode::Lanes => self.first_of_each(busy),
        };
        let wakes = first.into_iter().filter_map(|(_, item)| {
            let Request::Entrypoint(request) = &item.request else {
                return None;
            };
            match self.paused_until(request.process) {
                Some(until) if until > now => Some(until),
                _ => self.deadline(item),
            }
        });
        wakes.min()
    }

    /// Takes out the message that `later` supersedes.
    pub fn take_superseded(&mut self, later: &M) -> Option<M> {
        let supersedes = |item: &Item<M>| match &item.request {
            Request::Message(message) => later.supersedes(message),
            Request::Entrypoint(_) => false,
        };
        let found = self.items.iter().rev().find(|(_, item)| supersedes(item));
        let number = *found?.0;
        match self.items.remove(&number)?.request {
            Request::Message(message) => Some(message),
            Request::Entrypoint(_) => None,
        }
    }

    /// The first entrypoint request of each process of which none is in hand.
    fn first_of_each(&self, busy: &HashSet<Key>) -> Vec<(u64, &Item<M>)> {
        let mut seen = HashSet::new();
        let numbers = self.entrypoints.iter();
        let items = numbers.filter_map(|number| Some((*number, self.items.get(number)?)));
        items
            .filter(|(_, item)| match &item.request {
                Request::Entrypoint(request) => {
                    seen.insert(request.process) && !busy.contains(&Key::Process(request.process))
                }
                Request::Message(_) => false,
            })
            .collect()
    }

    /// Until when an entrypoint request may wait; `None` for other requests.
    fn deadline(&self, item: &Item<M>) -> Option<Instant> {
        let Request::Entrypoint(request) = &item.request else {
            return None;
        };
        let paused_until = self.paused_until(request.process);
        // An attempt after the pause has the whole bound: with less, a bound that is shorter than
        // the pause would leave it no time at all.
        let begin = paused_until.map_or(item.arrived, |until| until.max(item.arrived));
        Some(begin + self.timeout)
    }

    /// Notes that a process was told EAGAIN.
    pub fn told_again(&mut self, told: ToldAgain, now: Instant) {
        self.told_again.retain(|_, at| *at + PAUSE > now);
        self.told_again.insert(told.process, told.at);
    }

    #[cfg(test)]
    pub(super) fn pauses(&self) -> usize {
        self.told_again.len()
    }

    fn paused_until(&self, process: Fid) -> Option<Instant> {
        self.told_again.get(&process).map(|at| *at + PAUSE)
    }

    fn is_paused(&self, process: Fid, now: Instant) -> bool {
        self.paused_until(process).is_some_and(|until| until > now)
    }
}
