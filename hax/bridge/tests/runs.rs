//! Runs, one by one: how they are cut into transactions, and when each of theirs is answered.

use std::collections::HashSet;

use halink::HaState;
use tokio::time::Instant as Moment;

use super::consul::Fault;
use super::property::status;
use super::*;
use crate::dispatch::{Message, PAUSE};

fn job(link: u64, task: Task) -> Job<u64> {
    Job {
        number: 0,
        link: LinkId(link),
        task,
        ack: 0,
        arrived: Instant::now(),
        replayed: false,
    }
}

fn event(of: u64) -> Task {
    let status = ProcessStatus {
        event: ProcessEvent::Started,
        kind: ProcessType::M0d,
        pid: 1,
    };
    let process = process(of);
    Task::Status { process, status }
}

fn replayed(job: Job<u64>) -> Job<u64> {
    Job {
        replayed: true,
        ..job
    }
}

#[test]
fn writes_join_writes_and_what_is_replayed_goes_alone() {
    let get = || {
        Task::Get(NvecGet {
            id: 0,
            objects: Vec::new(),
            ignore_same_state: false,
        })
    };
    let written = || job(1, event(1));
    let isolation = || job(3, Task::Isolate(process(3)));
    assert!(isolation().joins(&written()));
    assert!(job(2, get()).joins(&job(1, get())));
    assert!(!job(2, get()).joins(&written()));
    assert!(!written().joins(&job(2, get())));
    assert!(!replayed(written()).joins(&written()));
    assert!(!written().joins(&replayed(written())));
}

#[test]
fn a_status_supersedes_those_of_its_process_on_its_link() {
    let later = job(1, event(1));
    assert!(later.supersedes(&job(1, event(1))));
    for earlier in [
        job(2, event(1)),
        job(1, event(2)),
        job(1, Task::Isolate(process(1))),
        replayed(job(1, event(1))),
    ] {
        assert!(!later.supersedes(&earlier), "{earlier:?}");
        assert!(!earlier.supersedes(&later), "{earlier:?}");
    }
}

/// How many statuses each transaction wrote.
fn sizes(fixture: &Fixture) -> Vec<usize> {
    let written = fixture.consul.written();
    // With the alias, each is two operations.
    written.iter().map(|of_one| of_one.len() / 2).collect()
}

/// Events of so many processes in turn; the first is retried until all others wait: then they are a
/// run.
async fn behind_a_head(refused: HashSet<Fid>, processes: u64, count: u64) -> Fixture {
    let fixture = start(Mode::Queue, Consul::new([Fault::Hangs], refused));
    for number in 0..=count {
        let ask = Ask::Event(status(number as usize));
        fixture.push(number, number % processes, &ask).await;
        if number == 0 {
            // It is in hand before the others come.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    fixture
}

#[tokio::test(start_paused = true)]
async fn a_run_is_as_few_transactions_as_hold_it() {
    let fixture = behind_a_head(HashSet::new(), 4, 64).await;
    fixture.motr.wait(65).await;
    assert_eq!(sizes(&fixture), [1, 32, 32]);
    // Once for the head, and once for the processes it is not of: what was written is known.
    assert_eq!(fixture.consul.index_reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn transactions_grow_again_behind_one_that_is_refused() {
    let fixture = behind_a_head(HashSet::from([process(1)]), 33, 32).await;
    fixture.motr.wait(32).await;
    assert_eq!(sizes(&fixture), [1, 1, 2, 4, 8, 16]);
}

#[tokio::test(start_paused = true)]
async fn what_is_superseded_in_a_full_queue_is_acknowledged_and_not_written() {
    let consul = Consul::new([Fault::Hangs], HashSet::new());
    let fixture = start_folding(Mode::Queue, consul, Some(1));
    for number in 0..4 {
        let ask = Ask::Event(status(number as usize));
        fixture.push(number, 1, &ask).await;
        // The head is in hand before the next one comes.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let said = fixture.motr.wait(4).await;
    assert_eq!(said, [1, 2, 0, 3].map(Said::Delivered));
    assert_eq!(sizes(&fixture), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn each_entrypoint_request_of_a_run_has_its_own_bound() {
    let faults = [Fault::Hangs, Fault::None, Fault::None, Fault::Slow(1_000)];
    let fixture = start(Mode::Queue, Consul::new(faults, HashSet::new()));
    fixture.push(0, 1, &Ask::Event(status(0))).await;
    // The head is retried after 3 s; the bound of these is 2 s.
    for (number, after) in [(1, 1_500), (2, 1_000)] {
        tokio::time::sleep(Duration::from_millis(after)).await;
        fixture.push(number, number, &Ask::Entrypoint).await;
    }
    let said = fixture.motr.wait(3).await;
    let expected = [Said::Delivered(0), Said::Again(1), Said::Entrypoint(2)];
    assert_eq!(said, expected);
}

#[tokio::test(start_paused = true)]
async fn who_was_told_eagain_is_paused_whatever_the_reason_was() {
    for (fault, at) in [(Fault::Hangs, 2_000), (Fault::Broken, 0)] {
        let fixture = start(Mode::Queue, Consul::new([fault], HashSet::new()));
        let begin = Moment::now();
        fixture.push(1, 1, &Ask::Entrypoint).await;
        fixture.motr.wait(1).await;
        assert_eq!(begin.elapsed().as_millis(), at);
        fixture.push(2, 1, &Ask::Entrypoint).await;
        let said = fixture.motr.wait(2).await;
        assert_eq!(said, [Said::Again(1), Said::Entrypoint(2)]);
        let after = begin.elapsed().as_millis();
        assert_eq!(after, at + PAUSE.as_millis(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_links_of_older_incarnations_go_before_any_answer() {
    let fixture = start(Mode::Queue, Consul::new([Fault::Hangs], HashSet::new()));
    // One is told EAGAIN while it waits behind a head; the others share the run behind it.
    fixture.push(0, 1, &Ask::Event(status(0))).await;
    fixture.push(1, 1, &Ask::First).await;
    fixture.motr.wait(2).await;
    for number in [2, 3] {
        fixture.push(number, number, &Ask::First).await;
    }
    let retired = |n| Said::Retired(process(n));
    let expected = [
        retired(1),
        Said::Again(1),
        Said::Delivered(0),
        retired(2),
        Said::Entrypoint(2),
        retired(3),
        Said::Entrypoint(3),
    ];
    assert_eq!(fixture.motr.wait(7).await, expected);
}

#[tokio::test(start_paused = true)]
async fn two_incarnations_in_one_run_do_not_both_keep_a_link() {
    // The head is slow, so that both wait behind it and share the run that follows.
    let fixture = start(Mode::Queue, Consul::new([Fault::Slow(500)], HashSet::new()));
    fixture.push(0, 1, &Ask::Event(status(0))).await;
    for number in [1, 2] {
        fixture.push(number, 2, &Ask::First).await;
    }
    let retired = || Said::Retired(process(2));
    let expected = [
        Said::Delivered(0),
        retired(),
        Said::Entrypoint(1),
        retired(),
        Said::Entrypoint(2),
    ];
    assert_eq!(fixture.motr.wait(5).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_from_the_last_known_view_when_consul_refuses_to_tell() {
    let faults = [Fault::None, Fault::None, Fault::Denied];
    let fixture = start(Mode::Queue, Consul::new(faults, HashSet::new()));
    fixture.push(0, 1, &Ask::Event(status(3))).await;
    fixture.motr.wait(1).await;
    // The last known view does not have the status yet; the next answer does.
    for (number, state) in [(1, HaState::Online), (2, HaState::Failed)] {
        fixture.push(number, 1, &Ask::Get(vec![1])).await;
        let said = fixture.motr.wait(1 + 2 * number as usize).await;
        let expected = [Said::States(number, vec![state]), Said::Delivered(number)];
        assert_eq!(said[said.len() - 2..], expected);
    }
}
