//! Messages that Consul refuses for good.

use std::collections::HashSet;

use super::super::LETTERS_MAX;
use super::property::status;
use super::*;
use crate::cluster::process as keys;

/// Process 1 and 2 have a letter each, and the cause is mended.
async fn two_letters() -> Fixture {
    let consul = Consul::new([], HashSet::from([process(1), process(2)]));
    let fixture = start(Mode::Queue, consul);
    for from in [1, 2] {
        let ask = Ask::Event(status(1));
        fixture.push(from, from, &ask).await;
    }
    fixture.letters(2).await;
    fixture.consul.allow_all();
    fixture
}

#[tokio::test(start_paused = true)]
async fn a_later_status_supersedes_the_letters_of_its_process() {
    let fixture = two_letters().await;
    fixture.push(3, 2, &Ask::Event(status(2))).await;
    let said = fixture.motr.wait(2).await;
    assert_eq!(said, [2, 3].map(Said::Delivered));
    let left = fixture.letters.rows();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].process, Some(process(1)));
}

#[tokio::test(start_paused = true)]
async fn a_replayed_letter_is_written_unless_a_later_status_was() {
    let fixture = two_letters().await;
    // Both are taken out before the later status comes, which is handled before either.
    let jobs: Vec<_> = fixture
        .letters
        .ids()
        .into_iter()
        .map(|id| fixture.letters.take(id))
        .collect();
    fixture.push(3, 2, &Ask::Event(status(2))).await;
    for job in jobs {
        fixture
            .dispatcher
            .push(Request::Message(job.unwrap()))
            .await;
    }
    let said = fixture.motr.wait(3).await;
    assert_eq!(said, [3, 1, 2].map(Said::Delivered));
    let key = |n| keys::key(process(n));
    assert!(fixture.consul.has_had(&key(1), &status(1).to_json()));
    assert!(!fixture.consul.has_had(&key(2), &status(1).to_json()));
    assert!(fixture.letters.rows().is_empty());
    assert_eq!(fixture.letters.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_refused_again_is_a_letter_again() {
    let fixture = start(Mode::Queue, Consul::new([], HashSet::from([process(1)])));
    fixture.push(1, 1, &Ask::Event(status(1))).await;
    for id in 1..4 {
        assert_eq!(fixture.letters(1).await, [id]);
        let job = fixture.letters.take(id).unwrap();
        fixture.dispatcher.push(Request::Message(job)).await;
    }
    assert_eq!(fixture.motr.said(), []);
}

fn job(number: u64, from: u64) -> Job<u64> {
    Job {
        number,
        link: LinkId(from),
        task: Task::Isolate(process(from)),
        ack: number,
        arrived: Instant::now(),
        replayed: false,
    }
}

#[test]
fn at_the_bound_the_oldest_letter_goes() {
    let letters = DeadLetters::default();
    for number in 1..=LETTERS_MAX as u64 {
        assert_eq!(letters.add(job(number, 1), String::new()), (number, false));
    }
    let one_more = LETTERS_MAX as u64 + 1;
    assert_eq!(letters.add(job(0, 1), String::new()), (one_more, true));
    assert!(letters.ids().into_iter().eq(2..=one_more));
}

#[test]
fn what_is_written_supersedes_older_letters_of_its_process_alone() {
    let letters = DeadLetters::default();
    for (number, from) in [(1, 1), (2, 2), (3, 1), (5, 1)] {
        letters.add(job(number, from), String::new());
    }
    let superseded = letters.written(process(1), 4);
    let numbers: Vec<u64> = superseded.into_iter().map(|job| job.ack).collect();
    assert_eq!(numbers, [1, 3]);
    assert_eq!(letters.ids(), [2, 4]);
}

#[test]
fn the_newest_that_was_written_is_remembered_until_the_last_replay_is_settled() {
    let letters = DeadLetters::default();
    for number in [1, 3] {
        letters.add(job(number, 1), String::new());
    }
    let taken = [1, 2].map(|id| letters.take(id).unwrap());
    assert!(taken.iter().all(|job| job.replayed));
    for number in [2, 1] {
        letters.written(process(1), number);
    }
    let is_superseded = |job: &Job<u64>| letters.is_superseded(&job.task, job.number);
    assert_eq!(taken.each_ref().map(is_superseded), [true, false]);
    letters.settled(&taken[1].task);
    assert!(is_superseded(&taken[0]));
    letters.settled(&taken[0].task);
    assert_eq!(letters.replays(), 0);
}
