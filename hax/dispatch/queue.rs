//! The queue of requests: whose turn it is, and which entrypoint request has waited too long.
//!
//! Pure: time comes in as an argument. The rules are in `rfc/7-ordering.md`.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use halink::{EntrypointRequest, Fid};
use tokio::time::Instant;

/// A process is told EAGAIN at most once in this time (7/ORDER, O6). Motr asks again at once.
pub const PAUSE: Duration = Duration::from_secs(1);

/// What waits for its turn.
#[derive(Debug)]
pub enum Request<M> {
    /// A process asks for the entrypoint.
    Entrypoint(EntrypointRequest),
    /// A message whose handling needs Consul.
    Message(M),
}

/// A request with the moment it arrived.
#[derive(Debug)]
pub struct Item<M> {
    /// The request.
    pub request: Request<M>,
    /// When its callback ran.
    pub arrived: Instant,
}

/// Requests in the order of arrival.
#[derive(Debug)]
pub struct Queue<M> {
    items: VecDeque<Item<M>>,
    told_again: HashMap<Fid, Instant>,
    timeout: Duration,
}

impl<M> Queue<M> {
    /// An empty queue; `timeout` is the bound of an entrypoint request (7/ORDER, O5).
    pub fn new(timeout: Duration) -> Self {
        Self {
            items: VecDeque::new(),
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
        self.items.push_back(Item { request, arrived });
    }

    /// Takes the request whose turn it is. While the first entrypoint request is paused, all
    /// entrypoint requests wait and the others pass.
    pub fn next(&mut self, now: Instant) -> Option<Item<M>> {
        let mut paused = false;
        let position = self.items.iter().position(|item| match &item.request {
            Request::Message(_) => true,
            Request::Entrypoint(_) if paused => false,
            Request::Entrypoint(request) => {
                paused = self
                    .paused_until(request.process)
                    .is_some_and(|until| until > now);
                !paused
            }
        })?;
        self.items.remove(position)
    }

    /// Takes the first entrypoint request if it has waited up to its bound: it is to be
    /// answered EAGAIN. Call it only while no entrypoint request is in hand (7/ORDER, O2).
    pub fn expired(&mut self, now: Instant) -> Option<Item<M>> {
        let position = self.first_entrypoint()?;
        if self.deadline(&self.items[position])? > now {
            return None;
        }
        self.items.remove(position)
    }

    /// When `next` or `expired` may have a new answer though nothing has arrived.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        let item = &self.items[self.first_entrypoint()?];
        let Request::Entrypoint(request) = &item.request else {
            return None;
        };
        match self.paused_until(request.process) {
            Some(until) if until > now => Some(until),
            _ => self.deadline(item),
        }
    }

    /// Until when an entrypoint request may wait; `None` for other requests.
    pub fn deadline(&self, item: &Item<M>) -> Option<Instant> {
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
    pub fn told_again(&mut self, process: Fid, now: Instant) {
        self.told_again.retain(|_, at| *at + PAUSE > now);
        self.told_again.insert(process, now);
    }

    fn first_entrypoint(&self) -> Option<usize> {
        self.items
            .iter()
            .position(|item| matches!(item.request, Request::Entrypoint(_)))
    }

    fn paused_until(&self, process: Fid) -> Option<Instant> {
        self.told_again.get(&process).map(|at| *at + PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halink::RequestId;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn entrypoint(process: u64, number: u64) -> Request<()> {
        Request::Entrypoint(EntrypointRequest {
            req_id: RequestId { hi: 0, lo: number },
            endpoint: "unix:/p".to_owned(),
            process: Fid::new(0x7200_0000_0000_0001, process),
            git_rev: String::new(),
            pid: 1,
            first: false,
        })
    }

    fn number(item: Option<Item<()>>) -> Option<u64> {
        match item?.request {
            Request::Entrypoint(request) => Some(request.req_id.lo),
            Request::Message(_) => None,
        }
    }

    fn process(n: u64) -> Fid {
        Fid::new(0x7200_0000_0000_0001, n)
    }

    #[test]
    fn turns_come_in_the_order_of_arrival() {
        let now = Instant::now();
        let mut queue = Queue::new(TIMEOUT);
        for n in 0..3 {
            queue.push(entrypoint(n, n), now);
        }
        assert_eq!(number(queue.next(now)), Some(0));
        assert_eq!(number(queue.next(now)), Some(1));
        assert_eq!(number(queue.next(now)), Some(2));
        assert!(queue.is_empty());
    }

    #[test]
    fn only_the_first_entrypoint_request_expires_and_only_at_its_bound() {
        let now = Instant::now();
        let mut queue = Queue::new(TIMEOUT);
        queue.push(entrypoint(1, 1), now);
        queue.push(entrypoint(2, 2), now + TIMEOUT / 2);
        assert_eq!(queue.wake_at(now), Some(now + TIMEOUT));
        assert_eq!(number(queue.expired(now + TIMEOUT / 2)), None);
        assert_eq!(number(queue.expired(now + TIMEOUT)), Some(1));
        assert_eq!(number(queue.expired(now + TIMEOUT)), None);
        assert_eq!(number(queue.expired(now + TIMEOUT + TIMEOUT / 2)), Some(2));
        assert_eq!(queue.wake_at(now), None);
    }

    #[test]
    fn a_process_told_again_is_paused_and_holds_the_entrypoint_requests_behind_it() {
        let now = Instant::now();
        let mut queue = Queue::new(TIMEOUT);
        queue.told_again(process(1), now);
        queue.push(entrypoint(1, 1), now);
        queue.push(entrypoint(2, 2), now);
        assert_eq!(number(queue.next(now)), None);
        assert_eq!(queue.wake_at(now), Some(now + PAUSE));
        assert_eq!(number(queue.next(now + PAUSE)), Some(1));
        assert_eq!(number(queue.next(now + PAUSE)), Some(2));
    }

    #[test]
    fn the_bound_runs_from_the_end_of_a_pause() {
        for timeout in [PAUSE / 4, PAUSE * 2] {
            let now = Instant::now();
            let mut queue = Queue::new(timeout);
            queue.told_again(process(1), now);
            queue.push(entrypoint(1, 1), now);
            let bound = now + PAUSE + timeout;
            assert_eq!(number(queue.expired(bound - timeout / 2)), None);
            assert_eq!(number(queue.expired(bound)), Some(1));
        }
    }

    #[test]
    fn a_pause_that_ended_before_the_arrival_does_not_move_the_bound() {
        let now = Instant::now();
        let mut queue = Queue::new(TIMEOUT);
        queue.told_again(process(1), now);
        queue.push(entrypoint(1, 1), now + PAUSE * 2);
        assert_eq!(number(queue.expired(now + PAUSE * 2 + TIMEOUT)), Some(1));
    }

    #[test]
    fn pauses_are_forgotten() {
        let now = Instant::now();
        let mut queue = Queue::<()>::new(TIMEOUT);
        for n in 0..100 {
            queue.told_again(process(n), now);
        }
        queue.told_again(process(100), now + PAUSE);
        assert_eq!(queue.told_again.len(), 1);
    }
}
