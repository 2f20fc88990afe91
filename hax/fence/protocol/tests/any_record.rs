//! Whatever the record says, a decision is taken, and the operation ends.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::fence::model::{
    Action, Attempt, AttemptState, Ended, Level, NodeName, Operation, PeerRecord, Phase, Plan,
    Reach, RunResult, Step, UnixMillis,
};
use crate::fence::protocol::{
    Decision, RUNS_MAX, World, decide, delegated_to, finish, may_end, start,
};
use crate::fence::view::Peer;

use super::model::Fencing;

const SESSION: &str = "00000000-0000-4000-8000-000000000001";

fn peers(names: &[&str]) -> BTreeMap<NodeName, Peer> {
    let names = names.iter();
    names
        .map(|name| {
            let devices = ["d", "e"].map(|device| (device.parse().unwrap(), Reach::default()));
            let record = PeerRecord {
                devices: devices.into(),
                ..PeerRecord::default()
            };
            let session = Some(SESSION.parse().unwrap());
            (name.parse().unwrap(), Peer { record, session })
        })
        .collect()
}

fn result() -> impl Strategy<Value = RunResult> {
    use RunResult::*;
    prop::sample::select(vec![
        Success,
        Unreachable,
        NotAcknowledged,
        Internal,
        Timeout,
        Killed,
        Refused,
        NotInstalled,
        Indeterminate,
    ])
}

fn run() -> impl Strategy<Value = Ended> {
    result().prop_map(|result| Ended {
        result,
        evidence: "ä".repeat(1000),
        took_ms: 0,
    })
}

fn step() -> impl Strategy<Value = Step> {
    (0..3usize, 0..2u8, any::<[bool; 3]>(), any::<u8>()).prop_map(
        |(device, group, [required, on_target, on], tries)| Step {
            device: ["d", "e", "missing"][device].parse().unwrap(),
            action: if on { Action::On } else { Action::Off },
            group,
            required,
            tries,
            delay_ms: 0,
            delay_max_ms: 0,
            run_max_ms: 1,
            on_target,
        },
    )
}

fn state() -> impl Strategy<Value = AttemptState> {
    prop_oneof![
        Just(AttemptState::Delegated),
        prop::sample::select(vec![SESSION, "", "gone"]).prop_map(|session| {
            AttemptState::Running {
                session: session.to_owned(),
                since: UnixMillis(u64::MAX),
            }
        }),
        prop::collection::vec(run(), 0..4).prop_map(|runs| AttemptState::Ended { runs }),
    ]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let index = || prop_oneof![0..3usize, Just(usize::MAX)];
    let steps = prop::collection::vec(index(), 0..4);
    (
        index(),
        steps,
        prop::sample::select(vec!["a", "t", "x"]),
        state(),
    )
        .prop_map(|(level, steps, peer, state)| Attempt {
            level,
            steps,
            peer: peer.parse().unwrap(),
            verified: false,
            state,
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    let level = prop::collection::vec(step(), 0..4).prop_map(|steps| Level { level: 1, steps });
    let levels = prop::collection::vec(level, 0..3);
    let plan = prop::option::of(levels.prop_map(|levels| Plan { epoch: 0, levels }));
    (plan, prop::collection::vec(attempt(), 0..5)).prop_map(|(plan, attempts)| {
        let empty = Plan {
            epoch: 0,
            levels: Vec::new(),
        };
        let mut op = Fencing::new(1, empty).operation();
        op.phase = Phase::Active;
        op.plan = plan;
        op.attempts = attempts;
        op
    })
}

proptest! {
    #[test]
    fn every_record_comes_to_an_end(op in operation(), results in prop::collection::vec(result(), 1..8)) {
        let peers = peers(&["a", "b", "t"]);
        let me: NodeName = "b".parse().unwrap();
        let world = World {
            me: &me,
            peers: &peers,
            now: UnixMillis(7),
            waited: true,
            accept_over: false,
            overdue: true,
        };
        let mut op = op;
        let mut results = results.into_iter().cycle();
        let mut destroyed = false;
        for _ in 0..2 * RUNS_MAX + 20 {
            let mut late = world;
            late.accept_over = !op.attempts.last().is_some_and(|last| last.peer.as_str() != "x");
            match decide(&op, &late) {
                Decision::End(end) => {
                    prop_assert!(end.ended().is_some());
                    return Ok(());
                }
                Decision::Write(next) => {
                    prop_assert_ne!(&next, &op);
                    // What has ended stays as it is, but for the attempt that was open.
                    prop_assert!(next.attempts.len() >= op.attempts.len());
                    op = next;
                }
                Decision::DestroySession(session) => {
                    prop_assert_eq!(session, SESSION);
                    prop_assert!(!destroyed || !op.attempts.is_empty());
                    destroyed = true;
                    let Some((index, _)) = op.open_attempt() else { break };
                    prop_assert!(!may_end(&op));
                    op = finish(&op, index, SESSION, vec![]).unwrap();
                }
                Decision::Wait => {
                    let (index, open) = op.open_attempt().unwrap();
                    let peer = open.peer.clone();
                    prop_assert_eq!(delegated_to(&op, &peer), Some(index));
                    let steps = open.steps.len();
                    op = start(&op, index, SESSION, UnixMillis(0)).unwrap();
                    let runs = (0..steps).map(|_| Ended {
                        result: results.next().unwrap(),
                        evidence: "ä".repeat(1000),
                        took_ms: 0,
                    });
                    let runs: Vec<_> = runs.collect();
                    prop_assert!(finish(&op, index, "another", runs.clone()).is_none());
                    op = finish(&op, index, SESSION, runs).unwrap();
                    prop_assert!(finish(&op, index, SESSION, vec![]).is_none());
                }
            }
        }
        prop_assert!(false, "no end: {} attempts", op.attempts.len());
    }
}
