//! What runs, what waits, and in which order. Nothing here waits or does anything.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::num::NonZeroUsize;

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// Jobs in lanes: of one lane one runs at a time, in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue<L, J> {
    concurrency: usize,
    pending_max: usize,
    running: usize,
    pending: usize,
    /// Lanes of which a job runs or waits, with those that wait.
    lanes: HashMap<L, VecDeque<J>>,
    /// Lanes of which a job waits and none runs, longest first.
    ready: VecDeque<L>,
}

impl<L: Clone + Eq + Hash, J> Queue<L, J> {
    pub(super) fn new(concurrency: NonZeroUsize, pending_max: usize) -> Self {
        Self {
            concurrency: concurrency.get(),
            pending_max,
            running: 0,
            pending: 0,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes a job; [`Self::start`] is to be called afterwards until there is nothing to start.
    ///
    /// # Errors
    /// It would have to wait, and as many wait as may.
    pub(super) fn push(&mut self, lane: L, job: J) -> Result<(), Full> {
        let idle = !self.lanes.contains_key(&lane);
        // Whoever is ready and was not started waits for a place: then there is none.
        let at_once = idle && self.ready.is_empty() && self.running < self.concurrency;
        if !at_once && self.pending >= self.pending_max {
            return Err(Full);
        }
        if idle {
            self.ready.push_back(lane.clone());
        }
        self.lanes.entry(lane).or_default().push_back(job);
        self.pending += 1;
        Ok(())
    }

    /// The next job that may run now. It runs until [`Self::done`].
    pub(super) fn start(&mut self) -> Option<(L, J)> {
        if self.running >= self.concurrency {
            return None;
        }
        let lane = self.ready.pop_front()?;
        let job = self.lanes.get_mut(&lane)?.pop_front()?;
        self.pending -= 1;
        self.running += 1;
        Some((lane, job))
    }

    /// The lane's job has ended.
    pub(super) fn done(&mut self, lane: L) {
        self.running = self.running.saturating_sub(1);
        match self.lanes.get(&lane) {
            Some(waiting) if waiting.is_empty() => {
                self.lanes.remove(&lane);
            }
            Some(_) => self.ready.push_back(lane),
            None => {}
        }
    }

    /// Forgets all that wait; how many there were.
    pub(super) fn clear(&mut self) -> usize {
        self.ready.clear();
        self.lanes.clear();
        std::mem::take(&mut self.pending)
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn pending(&self) -> usize {
        self.pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(concurrency: usize, pending_max: usize) -> Queue<&'static str, u32> {
        Queue::new(NonZeroUsize::new(concurrency).unwrap(), pending_max)
    }

    fn start_all(queue: &mut Queue<&'static str, u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.start().map(|(_, job)| job)).collect()
    }

    #[test]
    fn no_more_run_than_may_and_no_more_wait_than_may() {
        let mut queue = queue(2, 1);
        for (lane, job) in [("a", 1), ("b", 2)] {
            queue.push(lane, job).unwrap();
            assert_eq!(start_all(&mut queue), [job]);
        }
        queue.push("c", 3).unwrap();
        assert!(start_all(&mut queue).is_empty());
        assert_eq!(queue.push("d", 4), Err(Full));
        assert_eq!((queue.running(), queue.pending()), (2, 1));
        queue.done("a");
        assert_eq!(start_all(&mut queue), [3]);
        queue.push("d", 5).unwrap();
        assert!(start_all(&mut queue).is_empty());
    }

    #[test]
    fn one_lane_keeps_its_order_and_holds_no_other_up() {
        let mut queue = queue(3, 8);
        for (lane, job) in [("a", 1), ("a", 2), ("b", 3), ("a", 4)] {
            queue.push(lane, job).unwrap();
        }
        assert_eq!(start_all(&mut queue), [1, 3]);
        queue.done("b");
        assert!(start_all(&mut queue).is_empty());
        queue.done("a");
        assert_eq!(start_all(&mut queue), [2]);
        queue.done("a");
        assert_eq!(start_all(&mut queue), [4]);
        queue.done("a");
        assert!(queue.lanes.is_empty());
        assert_eq!((queue.running(), queue.pending()), (0, 0));
    }

    #[test]
    fn a_busy_lane_does_not_overtake_those_that_wait_longer() {
        let mut queue = queue(1, 8);
        for (lane, job) in [("a", 1), ("a", 2), ("b", 3)] {
            queue.push(lane, job).unwrap();
        }
        assert_eq!(start_all(&mut queue), [1]);
        queue.done("a");
        assert_eq!(start_all(&mut queue), [3]);
    }

    #[test]
    fn what_can_run_at_once_needs_no_room_to_wait() {
        let mut queue = queue(2, 0);
        queue.push("a", 1).unwrap();
        assert_eq!(
            queue.push("b", 2),
            Err(Full),
            "the first was not started yet"
        );
        assert_eq!(start_all(&mut queue), [1]);
        assert_eq!(queue.push("a", 3), Err(Full));
        queue.push("b", 4).unwrap();
        assert_eq!(start_all(&mut queue), [4]);
        assert_eq!(queue.push("c", 5), Err(Full));
    }

    #[test]
    fn after_clear_nothing_starts() {
        let mut queue = queue(1, 8);
        for (lane, job) in [("a", 1), ("a", 2), ("b", 3)] {
            queue.push(lane, job).unwrap();
        }
        assert_eq!(start_all(&mut queue), [1]);
        assert_eq!(queue.clear(), 2);
        queue.done("a");
        assert!(start_all(&mut queue).is_empty());
        assert_eq!((queue.running(), queue.pending()), (0, 0));
    }
}
