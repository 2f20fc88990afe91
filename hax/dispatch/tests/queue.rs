//! The queue itself.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::super::queue::SCAN_MAX;
use super::super::{Key, PAUSE, Queue, Run};
use super::*;

static NONE: LazyLock<HashSet<Key>> = LazyLock::new(HashSet::new);

fn number(run: Option<Run<Note>>) -> Option<u64> {
    match run? {
        Run::Entrypoints(run) => run.first().map(|asked| asked.request.req_id.lo),
        Run::Messages(_) => None,
    }
}

fn expired(queue: &mut Queue<Note>, now: Instant) -> Option<u64> {
    match queue.expired(now, &NONE)?.request {
        Request::Entrypoint(request) => Some(request.req_id.lo),
        Request::Message(_) => None,
    }
}

fn told(process: u64, at: Instant) -> ToldAgain {
    let process = self::process(process);
    ToldAgain { process, at }
}

#[test]
fn entrypoint_requests_that_wait_are_one_run_in_the_order_of_arrival() {
    let now = Instant::now();
    let mut queue = Queue::new(Mode::Queue, TIMEOUT);
    for n in 0..3 {
        queue.push(entrypoint(n, n), now);
    }
    let Some(Run::Entrypoints(run)) = queue.next(now, &NONE) else {
        panic!("entrypoint requests were pushed");
    };
    let numbers: Vec<u64> = run.iter().map(|asked| asked.request.req_id.lo).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert!(queue.is_empty());
}

#[test]
fn only_the_first_entrypoint_request_expires_and_only_at_its_bound() {
    let now = Instant::now();
    let mut queue = Queue::new(Mode::Queue, TIMEOUT);
    queue.push(entrypoint(1, 1), now);
    queue.push(entrypoint(2, 2), now + TIMEOUT / 2);
    assert_eq!(queue.wake_at(now, &NONE), Some(now + TIMEOUT));
    assert_eq!(expired(&mut queue, now + TIMEOUT / 2), None);
    assert_eq!(expired(&mut queue, now + TIMEOUT), Some(1));
    assert_eq!(expired(&mut queue, now + TIMEOUT), None);
    assert_eq!(expired(&mut queue, now + TIMEOUT + TIMEOUT / 2), Some(2));
    assert_eq!(queue.wake_at(now, &NONE), None);
}

#[test]
fn a_process_told_again_is_paused_and_holds_the_entrypoint_requests_behind_it() {
    let now = Instant::now();
    let mut queue = Queue::new(Mode::Queue, TIMEOUT);
    queue.told_again(told(1, now), now);
    queue.push(entrypoint(1, 1), now);
    queue.push(entrypoint(2, 2), now);
    assert_eq!(number(queue.next(now, &NONE)), None);
    assert_eq!(queue.wake_at(now, &NONE), Some(now + PAUSE));
    assert_eq!(number(queue.next(now + PAUSE, &NONE)), Some(1));
    assert!(queue.is_empty());
}

#[test]
fn the_bound_runs_from_the_end_of_a_pause() {
    for timeout in [PAUSE / 4, PAUSE * 2] {
        let now = Instant::now();
        let mut queue = Queue::new(Mode::Queue, timeout);
        queue.told_again(told(1, now), now);
        queue.push(entrypoint(1, 1), now);
        let bound = now + PAUSE + timeout;
        assert_eq!(expired(&mut queue, bound - timeout / 2), None);
        assert_eq!(expired(&mut queue, bound), Some(1));
    }
}

#[test]
fn a_pause_that_ended_before_the_arrival_does_not_move_the_bound() {
    let now = Instant::now();
    let mut queue = Queue::new(Mode::Queue, TIMEOUT);
    queue.told_again(told(1, now), now);
    queue.push(entrypoint(1, 1), now + PAUSE * 2);
    assert_eq!(expired(&mut queue, now + PAUSE * 2 + TIMEOUT), Some(1));
}

#[test]
fn pauses_are_forgotten() {
    let now = Instant::now();
    let mut queue = Queue::<Note>::new(Mode::Queue, TIMEOUT);
    for n in 0..100 {
        queue.told_again(told(n, now), now);
    }
    queue.told_again(told(100, now + PAUSE), now + PAUSE);
    assert_eq!(queue.pauses(), 1);
}

#[test]
fn lanes_look_so_far_and_no_farther() {
    let now = Instant::now();
    let mut queue = Queue::new(Mode::Lanes, TIMEOUT);
    let busy = HashSet::from([Key::Link(LinkId(1))]);
    for _ in 0..SCAN_MAX {
        queue.push(named("waits"), now);
    }
    queue.push(message("beyond", 0, 2), now);
    assert!(queue.next(now, &busy).is_none());
    // Room for one more within reach.
    assert!(queue.next(now, &NONE).is_some());
    assert!(queue.next(now, &busy).is_some());
}
