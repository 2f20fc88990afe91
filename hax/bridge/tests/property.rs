//! Runs and retries change nothing that can be seen.

use std::collections::{HashMap, HashSet};

use halink::HaState;
use proptest::prelude::*;

use super::consul::{Fault, Written};
use super::*;
use crate::cluster::{StoredStatus, StoredType, process as keys};

const PROCESSES: u64 = 4;

const EVENTS: [ProcessEvent; 5] = [
    ProcessEvent::Starting,
    ProcessEvent::Started,
    ProcessEvent::Stopping,
    ProcessEvent::Stopped,
    ProcessEvent::DtmRecovered,
];
const KINDS: [ProcessType; 4] = [
    ProcessType::M0d,
    ProcessType::M0mkfs,
    ProcessType::Other,
    ProcessType::Kernel,
];

/// Event `n` of a process: none is as one of the nineteen before it, so a value says which event it
/// is.
pub(super) fn status(n: usize) -> StoredStatus {
    StoredStatus {
        state: EVENTS[n % EVENTS.len()],
        kind: KINDS[n / EVENTS.len() % KINDS.len()].into(),
    }
}

/// One request, of whom, and how long after the one before, in milliseconds.
fn request() -> impl Strategy<Value = (u64, Ask, u64)> {
    let ask = prop_oneof![
        6 => Just(Ask::Event(status(0))),
        2 => prop::collection::vec(1..=PROCESSES, 1..6).prop_map(Ask::Get),
        1 => Just(Ask::Entrypoint),
    ];
    let after = prop_oneof![9 => Just(0_u64), 1 => 1..4_000_u64];
    (1..=PROCESSES, ask, after)
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Refused),
        1 => Just(Fault::AnswerLost),
        1 => Just(Fault::Hangs),
        1 => (1..3_500_u64).prop_map(Fault::Slow),
        2 => (0..5_usize).prop_map(Fault::Late),
        1 => Just(Fault::Broken),
    ]
}

#[derive(Debug, Clone)]
struct Case {
    requests: Vec<(u64, Ask, u64)>,
    faults: Vec<Fault>,
    refused: HashSet<u64>,
}

fn case() -> impl Strategy<Value = Case> {
    let requests = prop::collection::vec(request(), 1..80);
    let faults = prop::collection::vec(fault(), 0..30);
    let refused = prop::collection::hash_set(1..=PROCESSES, 0..2);
    (requests, faults, refused).prop_map(|(mut requests, faults, refused)| {
        let mut events: HashMap<u64, usize> = HashMap::new();
        for (from, ask, _) in &mut requests {
            if let Ask::Event(said) = ask {
                let n = events.entry(*from).or_default();
                *said = status(*n);
                *n += 1;
            }
        }
        Case {
            requests,
            faults,
            refused,
        }
    })
}

/// What handling one request after another says and writes.
#[derive(Debug, Default)]
struct Expected {
    /// Messages acknowledged or answered, in order.
    said: Vec<Said>,
    /// Values of each key, in order.
    values: HashMap<String, Vec<String>>,
    /// Messages that end as dead letters.
    letters: Vec<u64>,
    entrypoints: HashSet<u64>,
}

fn expected(case: &Case) -> Expected {
    let mut expected = Expected::default();
    let mut states: HashMap<u64, StoredStatus> = HashMap::new();
    for (number, (from, ask, _)) in case.requests.iter().enumerate() {
        let number = number as u64;
        match ask {
            Ask::Event(_) if case.refused.contains(from) => expected.letters.push(number),
            Ask::Event(said) => {
                states.insert(*from, *said);
                for key in [keys::key(process(*from)), keys::alias_key(process(*from))] {
                    expected.values.entry(key).or_default().push(said.to_json());
                }
                expected.said.push(Said::Delivered(number));
            }
            Ask::Get(processes) => {
                let state = |n: &u64| match states.get(n) {
                    Some(said)
                        if said.state == ProcessEvent::Stopped
                            && said.kind != StoredType::Motr(ProcessType::M0mkfs) =>
                    {
                        HaState::Failed
                    }
                    _ => HaState::Online,
                };
                let answer = processes.iter().map(state).collect();
                expected.said.push(Said::States(number, answer));
                expected.said.push(Said::Delivered(number));
            }
            Ask::Entrypoint | Ask::First => _ = expected.entrypoints.insert(number),
        }
    }
    expected
}

struct Outcome {
    said: Vec<Said>,
    written: Vec<Written>,
    letters: usize,
}

async fn play(mode: Mode, case: &Case, expected: &Expected) -> Outcome {
    let refused = case.refused.iter().map(|n| process(*n)).collect();
    let consul = Consul::new(case.faults.iter().copied(), refused);
    let fixture = start(mode, consul);
    for (number, (from, ask, after)) in case.requests.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(*after)).await;
        fixture.push(number as u64, *from, ask).await;
    }
    let count = expected.said.len() + expected.entrypoints.len();
    let said = fixture.motr.wait(count).await;
    fixture.letters(expected.letters.len()).await;
    Outcome {
        said,
        written: fixture.consul.written(),
        letters: fixture.letters.rows().len(),
    }
}

fn run(mode: Mode, case: &Case, expected: &Expected) -> Outcome {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(play(mode, case, expected))
}

/// Each transaction writes a part of a key's values without a gap, and begins no later than where
/// the one before ended: the same once more, or what comes next.
fn check_values(written: &[Written], expected: &Expected) {
    let mut done: HashMap<&str, usize> = HashMap::new();
    for transaction in written {
        assert!(transaction.len() <= 64);
        let mut of: HashMap<&str, Vec<&[u8]>> = HashMap::new();
        for (key, value) in transaction {
            of.entry(key).or_default().push(value);
        }
        for (key, part) in of {
            let all = &expected.values[key];
            let done = done.entry(key).or_default();
            let fits = |from: &usize| {
                part.iter().enumerate().all(|(n, value)| {
                    all.get(from + n)
                        .is_some_and(|all| all.as_bytes() == *value)
                })
            };
            let from = (0..=*done).rev().find(fits);
            let from = from.unwrap_or_else(|| panic!("{key}: {part:?} after {done} of {all:?}"));
            // What is visible never goes back: the last value is at least as new.
            assert!(from + part.len() >= *done, "{key}: went back");
            *done = from + part.len();
        }
    }
    for (key, all) in &expected.values {
        assert_eq!(done.get(key.as_str()), Some(&all.len()), "{key}: {all:?}");
    }
}

/// Each is answered once, and those of one `order` in the order of arrival.
fn check_entrypoints(said: &[Said], expected: &Expected, order: impl Fn(u64) -> u64) {
    let answered: Vec<u64> = said
        .iter()
        .filter_map(|said| match said {
            Said::Entrypoint(number) | Said::Again(number) => Some(*number),
            _ => None,
        })
        .collect();
    let mut last: HashMap<u64, u64> = HashMap::new();
    for number in &answered {
        let before = last.insert(order(*number), *number);
        assert!(before < Some(*number), "{answered:?}");
    }
    assert_eq!(answered.len(), expected.entrypoints.len());
    assert_eq!(HashSet::from_iter(answered), expected.entrypoints);
}

fn messages(said: Vec<Said>) -> Vec<Said> {
    said.into_iter()
        .filter(|said| matches!(said, Said::Delivered(_) | Said::States(..)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn runs_are_as_one_request_after_another(case in case()) {
        let expected = expected(&case);
        let outcome = run(Mode::Queue, &case, &expected);
        check_values(&outcome.written, &expected);
        check_entrypoints(&outcome.said, &expected, |_| 0);
        prop_assert_eq!(outcome.letters, expected.letters.len());
        prop_assert_eq!(messages(outcome.said), expected.said);
    }

    /// In lanes a GET is in order with what came over its own link alone, so it asks for its own
    /// process.
    #[test]
    fn lanes_are_as_one_request_after_another_for_each_process(mut case in case()) {
        for (from, ask, _) in &mut case.requests {
            if let Ask::Get(processes) = ask {
                *processes = vec![*from];
            }
        }
        let expected = expected(&case);
        let outcome = run(Mode::Lanes, &case, &expected);
        check_values(&outcome.written, &expected);
        let of_process = |number: u64| case.requests[number as usize].0;
        check_entrypoints(&outcome.said, &expected, of_process);
        prop_assert_eq!(outcome.letters, expected.letters.len());
        let of = |said: &Said, process: u64| match said {
            Said::Delivered(number) | Said::States(number, _) => {
                case.requests[*number as usize].0 == process
            }
            _ => false,
        };
        for process in 1..=PROCESSES {
            let told = outcome.said.iter().filter(|said| of(said, process));
            prop_assert!(told.eq(expected.said.iter().filter(|said| of(said, process))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_it_is_in_kv() {
    let consul = Consul::new([Fault::None, Fault::Hangs], HashSet::new());
    let fixture = start(Mode::Queue, consul);
    for n in 0..2 {
        fixture.push(n as u64, 1, &Ask::Event(status(n))).await;
        fixture.motr.wait(n + 1).await;
        let key = keys::key(process(1));
        assert!(fixture.consul.has_had(&key, &status(n).to_json()), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_process_does_not_take_its_neighbours_with_it() {
    let consul = Consul::new([], HashSet::from([process(2)]));
    let fixture = start(Mode::Queue, consul);
    for (number, from) in [1, 2, 3, 2, 4].into_iter().enumerate() {
        let ask = Ask::Event(status(1));
        fixture.push(number as u64, from, &ask).await;
    }
    let said = fixture.motr.wait(3).await;
    let expected = [0, 2, 4].map(Said::Delivered);
    assert_eq!(said, expected);
    let letters: Vec<_> = fixture
        .letters
        .rows()
        .iter()
        .map(|row| row.process)
        .collect();
    assert_eq!(letters, [Some(process(2)); 2]);
}
