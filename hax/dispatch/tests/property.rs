//! Random requests, arrivals and hold-ups, against what the order promises.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Message {
        kind: u8,
        link: u64,
        process: Option<u64>,
    },
    Entrypoint {
        process: u64,
    },
    Open(bool),
    /// Milliseconds.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let message = (0..2_u8, 1..4_u64, prop::option::of(1..4_u64));
    prop_oneof![
        8 => message.prop_map(|(kind, link, process)| Step::Message { kind, link, process }),
        4 => (1..4_u64).prop_map(|process| Step::Entrypoint { process }),
        1 => any::<bool>().prop_map(Step::Open),
        2 => (0..2_500_u64).prop_map(Step::Pass),
    ]
}

/// One request as the handler saw it: its number, and whether it was an entrypoint request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    Message(usize),
    Entrypoint(u64),
}

/// Pushes everything, then opens the handler and waits for the last. Returns what was handled, in
/// its order, with the time.
async fn play(mode: Mode, steps: &[Step]) -> (Vec<Seen>, Vec<Duration>) {
    let fixture = start_as(mode, true);
    let mut pushed = 0;
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Message {
                kind,
                link,
                process,
            } => {
                // Names are numbers; a leak of some bytes for each is a test's to have.
                let name: &'static str = Box::leak(number.to_string().into_boxed_str());
                let note = Note {
                    name,
                    kind,
                    link,
                    process,
                };
                fixture.push([Request::Message(note)]).await;
                pushed += 1;
            }
            Step::Entrypoint { process } => {
                fixture.push([entrypoint(process, number as u64)]).await;
                pushed += 1;
            }
            Step::Open(open) => fixture.fake.set_open(open),
            Step::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
    }
    fixture.fake.set_open(true);
    let done = fixture.fake.wait(pushed).await;
    let seen = done.iter().map(|(what, _)| {
        let number = what.split(' ').nth(1).unwrap_or(what);
        match number.parse().unwrap() {
            number if what.contains(' ') => Seen::Entrypoint(number),
            number => Seen::Message(number as usize),
        }
    });
    (seen.collect(), done.iter().map(|(_, at)| *at).collect())
}

fn check_each_once(steps: &[Step], seen: &[Seen]) {
    let mut left: HashMap<Seen, usize> = HashMap::new();
    for (number, step) in steps.iter().enumerate() {
        let wanted = match step {
            Step::Message { .. } => Seen::Message(number),
            Step::Entrypoint { .. } => Seen::Entrypoint(number as u64),
            Step::Open(_) | Step::Pass(_) => continue,
        };
        *left.entry(wanted).or_default() += 1;
    }
    for seen in seen {
        *left.get_mut(seen).unwrap() -= 1;
    }
    assert!(left.values().all(|left| *left == 0), "{left:?}");
}

fn rises<'a>(of: impl Iterator<Item = &'a Seen>) {
    let numbers: Vec<u64> = of
        .map(|seen| match seen {
            Seen::Message(number) => *number as u64,
            Seen::Entrypoint(number) => *number,
        })
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

fn run(mode: Mode, steps: &[Step]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (seen, times) = runtime.block_on(play(mode, steps));
    check_each_once(steps, &seen);
    assert!(times.is_sorted());
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn one_order_is_kept(steps in prop::collection::vec(step(), 1..60)) {
        let seen = run(Mode::Queue, &steps);
        rises(seen.iter().filter(|seen| matches!(seen, Seen::Message(_))));
        rises(seen.iter().filter(|seen| matches!(seen, Seen::Entrypoint(_))));
        // A message passes an entrypoint request only while that one is paused, and an entrypoint
        // request a message only with EAGAIN at its bound: with an open handler neither happens.
        if !steps.iter().any(|step| matches!(step, Step::Open(false))) {
            rises(seen.iter());
        }
    }

    #[test]
    fn lanes_keep_the_order_of_each_link_and_process(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let seen = run(Mode::Lanes, &steps);
        let of = |number: usize| match &steps[number] {
            Step::Message { link, process, .. } => (Some(*link), *process),
            _ => (None, None),
        };
        for key in 1..4 {
            rises(seen.iter().filter(|seen| {
                matches!(seen, Seen::Message(number) if of(*number).0 == Some(key))
            }));
            rises(seen.iter().filter(|seen| {
                matches!(seen, Seen::Message(number) if of(*number).1 == Some(key))
            }));
            rises(seen.iter().filter(|seen| match seen {
                Seen::Entrypoint(number) => {
                    matches!(steps[*number as usize], Step::Entrypoint { process } if process == key)
                }
                Seen::Message(_) => false,
            }));
        }
    }
}
