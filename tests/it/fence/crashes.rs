//! hax killed over and over while request files are served.
//!
//! `HAX_FENCE_CRASH_ROUNDS=200 cargo test --test it -- fence::crashes --nocapture` runs it for longer than the
//! tests do; `HAX_FENCE_CRASH_SEED` repeats the decisions of a run, which has printed its seed.
//!
//! What can be promised of one request is checked against what the devices have written down:
//!
//! - an operation runs its device again only after a run whose end nobody knows, and only as often as its
//!   device says; after a success, never;
//! - a request that is answered never runs anything again;
//! - every request ends answered, or withdrawn before anything was begun, and nothing is left of it;
//! - nothing begins later than its recorder waits, and a request may be old.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hax::fence::files::{FileName, Response};
use hax::fence::model::{AttemptState, Operation, Outcome, RunResult};
use tokio::process::Child;

use super::responder::{Ended, ended, names};
use super::served::Served;
use crate::faults::random::Random;
use crate::harness::eventually;

/// Kills of a long run.
const ROUNDS: &str = "HAX_FENCE_CRASH_ROUNDS";
/// Repeats the decisions of a run.
const SEED: &str = "HAX_FENCE_CRASH_SEED";
const ROUNDS_SHORT: usize = 20;

/// How long a recorder waits, and a request may be old, in seconds.
const PATIENCE: u64 = 40;

/// When hax is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The request is on disk, or about to be.
    Asked,
    /// Nobody can withdraw it any more.
    Taken,
    /// The device works.
    Running,
    /// It has done its work.
    Done,
    /// The response is written.
    Answered,
    /// Some time within the whole of it.
    Any,
}

const MOMENTS: [Moment; 6] = [
    Moment::Asked,
    Moment::Taken,
    Moment::Running,
    Moment::Done,
    Moment::Answered,
    Moment::Any,
];

/// A request, and who waits for it. Each has a target of its own.
struct Asked {
    target: String,
    name: FileName,
    at: Duration,
    recorder: Option<Child>,
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The target of a round: every second one has a device that is tried once.
fn target(round: usize) -> String {
    let kind = if round.is_multiple_of(2) {
        "once"
    } else {
        "again"
    };
    format!("{kind}-{round}")
}

async fn start(rounds: usize) -> Served {
    let targets: Vec<_> = (0..rounds).map(target).collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let devices = [("once", "retries = 0"), ("again", "retries = 2")];
    let served = Served::start_with(&devices, &targets, |settings| {
        let level =
            |name: &str| format!("{{ level = 1, pattern = '{name}-.*', devices = ['{name}'] }}");
        let levels = format!("[{}, {}]", level("once"), level("again"));
        settings
            .with("fence.level", levels)
            .with("fence.files.max_age", format!("'{PATIENCE}s'"))
    })
    .await;
    for device in ["once", "again"] {
        served.agents.behave(&format!("{device}.reboot"), 0, 0.3);
    }
    served
}

/// The name of the one file of a target, wherever it is now.
fn file_of(served: &Served, target: &str) -> Option<FileName> {
    let mut all = served.files.requests();
    all.extend(served.taken());
    all.extend(names(&served.files.path("responses")));
    let mut all = all.iter().filter_map(|name| name.parse::<FileName>().ok());
    all.find(|name| name.node().as_str() == target)
}

/// Asks, and kills at a moment.
async fn round(served: &mut Served, random: &mut Random, number: usize, moment: Moment) -> Asked {
    let target = target(number);
    let lines = format!("action=reboot\nplug={target}");
    let at = now();
    let recorder = served.files.start(&PATIENCE.to_string(), &lines).await;
    let name = eventually("the request", async || file_of(served, &target)).await;
    let asked = Asked {
        target,
        name,
        at,
        recorder: Some(recorder),
    };
    let (target, file) = (&asked.target, asked.name.to_string());
    // One that has waited for too long ends without having come to its moment.
    let over = || now() - at > Duration::from_secs(PATIENCE);
    let met = |met: bool| (met || over()).then_some(());
    match moment {
        Moment::Asked | Moment::Any => {}
        Moment::Taken => {
            let taken = async || met(!served.files.requests().contains(&file));
            eventually("the request to be taken", taken).await;
        }
        Moment::Running => {
            let running = async || met(!served.agents.starts(target).is_empty());
            eventually("the run", running).await;
        }
        Moment::Done => {
            let done = async || met(!served.agents.ends(target).is_empty());
            eventually("the end of the run", done).await;
        }
        Moment::Answered => {
            let response = served.files.path("responses").join(&file);
            eventually("the response", async || met(response.exists())).await;
        }
    }
    let millis = random.below(if moment == Moment::Any { 2_000 } else { 30 });
    tokio::time::sleep(Duration::from_millis(millis as u64)).await;
    served.bridge.kill();
    // Now and then the sessions of the killed run last for their TTL.
    if !random.percent(10) {
        served.end_sessions().await;
    }
    served.bridge.restart().await;
    asked
}

#[tokio::test]
async fn no_request_is_carried_out_twice_in_the_crash_loop() {
    let rounds = std::env::var(ROUNDS).map_or(ROUNDS_SHORT, |rounds| rounds.parse().unwrap());
    let mut random = Random::from_env(SEED);
    let mut served = start(rounds).await;
    let mut moments = BTreeMap::<Moment, usize>::new();
    let mut all = Vec::new();
    for number in 0..rounds {
        // Each with both kinds of devices.
        let moment = MOMENTS[number / 2 % MOMENTS.len()];
        *moments.entry(moment).or_default() += 1;
        all.push(round(&mut served, &mut random, number, moment).await);
    }
    let mut over = Vec::new();
    for mut asked in all {
        let recorder = asked.recorder.take().unwrap();
        over.push((asked, ended(recorder).await));
    }
    // Whatever the records say.
    for (Asked { target, .. }, _) in &over {
        let begun = served.agents.starts(target);
        assert!(begun.len() <= tries(target), "{begun:#?}");
    }
    let mut ends = BTreeMap::<String, usize>::new();
    for (asked, said) in over {
        let end = check(&served, asked, said).await;
        *ends.entry(end).or_default() += 1;
    }
    eventually("no operation to be open", async || {
        served.view().await?.active.is_empty().then_some(())
    })
    .await;
    eventually("no request to be left", async || {
        let none = served.files.requests().is_empty() && served.taken().is_empty();
        none.then_some(())
    })
    .await;
    served.agents.no_overlap();
    eprintln!("crash loop: rounds {rounds} {moments:?}, ends {ends:?}");
}

/// Judges a request whose recorder has ended. How it has ended.
async fn check(served: &Served, asked: Asked, said: Ended) -> String {
    let Asked {
        target, name, at, ..
    } = asked;
    let response = served.files.path("responses").join(name.to_string());
    let withdrawn = said.err.contains("the request is withdrawn");
    let answer = async || {
        let bytes = std::fs::read(&response).ok();
        let answer = bytes.and_then(|bytes| Response::parse(&bytes).ok());
        (answer.is_some() || withdrawn).then_some(answer)
    };
    let answer = eventually(&format!("the end of {name}"), answer).await;
    let ops = served.view().await.unwrap().ops;
    let op = ops.get(name.id()).map(|op| &op.value);
    let begun = served.agents.starts(&target);
    let about = format!("{name}: {said:?}, {answer:?}, {begun:?}, {op:#?}");
    let latest = at + Duration::from_secs(2 * PATIENCE);
    let in_time = |at: u128| Duration::from_nanos(at.try_into().unwrap()) <= latest;
    assert!(begun.iter().all(|line| in_time(line.at)), "{about}");
    let Some(op) = op else {
        assert!(begun.is_empty() && said.code == Some(1), "{about}");
        return "not begun".to_owned();
    };
    let end = op.ended().unwrap_or_else(|| panic!("not ended: {about}"));
    runs_once(op, begun.len(), &about);
    if let Some(answer) = answer {
        assert_eq!(answer.success, end.outcome == Outcome::Succeeded, "{about}");
    }
    // A recorder that has waited for too long may miss a success, but never invents one.
    assert!(
        said.code == Some(1) || end.outcome == Outcome::Succeeded,
        "{about}"
    );
    format!("{:?} after {}", end.outcome, begun.len())
}

/// How often the device of a target may be tried.
fn tries(target: &str) -> usize {
    if target.starts_with("once") { 1 } else { 3 }
}

/// What a device was asked to do, against what the operation says of it.
fn runs_once(op: &Operation, begun: usize, about: &str) {
    let results = op.attempts.iter().map(|attempt| match &attempt.state {
        AttemptState::Ended { runs } => runs[0].result,
        open => panic!("{open:?}: {about}"),
    });
    // Of the others it is certain that nothing was begun.
    let not_begun = [RunResult::Refused, RunResult::NotInstalled];
    let results: Vec<_> = results.filter(|it| !not_begun.contains(it)).collect();
    assert!(begun <= results.len(), "{about}");
    let unknown = [RunResult::Indeterminate, RunResult::Killed];
    if let Some((last, earlier)) = results.split_last() {
        assert!(earlier.iter().all(|it| unknown.contains(it)), "{about}");
        assert!(
            *last == RunResult::Success || unknown.contains(last),
            "{about}"
        );
        assert!(*last != RunResult::Success || begun > 0, "{about}");
    }
    assert!(results.len() <= tries(&op.target.to_string()), "{about}");
    assert_eq!(
        op.ended().unwrap().outcome == Outcome::Succeeded,
        results.last() == Some(&RunResult::Success),
        "{about}"
    );
}
