//! Who is asked, in which order, and how often.

use std::collections::BTreeMap;

use crate::fence::model::{
    Action, AttemptState, Ended, Level, NodeName, Operation, Outcome, PeerRecord, Phase, Plan,
    Reach, Refusal, RunResult, Step, UnixMillis,
};
use crate::fence::protocol::{
    Decision, NOT_BEGUN_FREE, World, candidates, decide, is_driver, node_after,
};
use crate::fence::view::Peer;

use super::check::step;
use super::model::Fencing;

type Peers = BTreeMap<NodeName, Peer>;

fn peer(peers: &mut Peers, name: &str, devices: &[(&str, Option<u64>)]) {
    let number = peers.len() + 1;
    let devices = devices.iter().map(|(device, proof)| {
        let reach = Reach {
            verified: proof.map(UnixMillis),
            ..Reach::default()
        };
        (device.parse().unwrap(), reach)
    });
    let record = PeerRecord {
        devices: devices.collect(),
        ..PeerRecord::default()
    };
    let session = format!("00000000-0000-4000-8000-{number:012x}").parse();
    let session = Some(session.unwrap());
    peers.insert(name.parse().unwrap(), Peer { record, session });
}

fn active(levels: Vec<Vec<Step>>) -> Operation {
    let levels = levels.into_iter().map(|steps| Level { level: 1, steps });
    let plan = Plan {
        epoch: 0,
        levels: levels.collect(),
    };
    let mut op = Fencing::new(1, plan.clone()).operation();
    op.phase = Phase::Active;
    op.plan = Some(plan);
    op
}

/// Lets every attempt end with what `result` says of peer and device; who was asked for what, and the end.
fn play(
    mut op: Operation,
    peers: &Peers,
    result: impl Fn(&str, &str) -> RunResult,
) -> (Vec<String>, Outcome) {
    let me: NodeName = "a".parse().unwrap();
    let world = World {
        me: &me,
        peers,
        now: UnixMillis(0),
        waited: false,
        accept_over: false,
        overdue: false,
    };
    let mut asked = Vec::new();
    loop {
        match decide(&op, &world) {
            Decision::End(end) => return (asked, end.ended().unwrap().outcome),
            Decision::Write(next) => op = next,
            other => panic!("{other:?}"),
        }
        let (_, open) = op.open_attempt().unwrap();
        let steps: Vec<_> = op.steps_of(open).cloned().collect();
        let devices: Vec<_> = steps.iter().map(|step| step.device.as_str()).collect();
        asked.push(format!(
            "{}:{}:{}",
            open.peer,
            steps[0].action.as_str(),
            devices.join("+")
        ));
        let runs = steps.iter().map(|step| Ended {
            result: result(open.peer.as_str(), step.device.as_str()),
            evidence: String::new(),
            took_ms: 0,
        });
        let runs = runs.collect();
        op.attempts.last_mut().unwrap().state = AttemptState::Ended { runs };
    }
}

#[test]
fn the_newest_proof_is_first_and_the_target_is_never_asked() {
    let mut peers = Peers::new();
    peer(&mut peers, "a", &[("d", None)]);
    peer(&mut peers, "b", &[("d", Some(1))]);
    peer(&mut peers, "c", &[("d", Some(2))]);
    peer(&mut peers, "e", &[("other", Some(3))]);
    peer(&mut peers, "t", &[("d", Some(9))]);
    let step = step("d", Action::Off, 0, 1);
    let target = "t".parse().unwrap();
    let found = candidates(&step, &target, &peers);
    let names: Vec<_> = found
        .iter()
        .map(|(name, proof)| (name.as_str(), *proof))
        .collect();
    assert_eq!(names, [("c", true), ("b", true), ("a", false)]);
    let mut there = step.clone();
    there.on_target = true;
    let found = candidates(&there, &target, &peers);
    assert_eq!(found, [("t".parse().unwrap(), true)]);
    let devices = &mut peers
        .get_mut(&"c".parse::<NodeName>().unwrap())
        .unwrap()
        .record
        .devices;
    devices
        .values_mut()
        .for_each(|reach| reach.targets = Some(vec![]));
    assert_eq!(candidates(&step, &target, &peers).len(), 2);
}

#[test]
fn another_peer_is_asked_where_it_may_do_better() {
    let mut peers = Peers::new();
    peer(&mut peers, "a", &[("d", None)]);
    peer(&mut peers, "b", &[("d", None)]);
    let op = || active(vec![vec![step("d", Action::Off, 0, 2)]]);
    let asked = |result| play(op(), &peers, |_, _| result).0;
    assert_eq!(asked(RunResult::Unreachable), ["a:off:d", "b:off:d"]);
    assert_eq!(asked(RunResult::Timeout), ["a:off:d", "a:off:d"]);
    assert_eq!(asked(RunResult::NotInstalled), ["a:off:d", "b:off:d"]);
    let refused = asked(RunResult::Refused);
    assert_eq!(refused.len(), 2 + NOT_BEGUN_FREE);
    assert_eq!(refused[..2], ["a:off:d", "b:off:d"]);
    assert_eq!(
        play(op(), &peers, |_, _| RunResult::Indeterminate).1,
        Outcome::Indeterminate
    );
}

#[test]
fn all_off_then_all_on_and_a_failed_on_is_no_failure() {
    let mut peers = Peers::new();
    peer(&mut peers, "a", &[("d", None), ("e", None)]);
    let both = |action, group| [step("d", action, group, 1), step("e", action, group, 1)];
    let op = active(vec![[both(Action::Off, 0), both(Action::On, 1)].concat()]);
    let (asked, end) = play(op.clone(), &peers, |_, _| RunResult::Success);
    assert_eq!(
        (asked, end),
        (
            vec!["a:off:d+e".into(), "a:on:d+e".into()],
            Outcome::Succeeded
        )
    );
    let mut on = op.clone();
    on.plan.as_mut().unwrap().levels[0].steps[3].device = "nobody".parse().unwrap();
    assert_eq!(
        play(on, &peers, |_, _| RunResult::Success).1,
        Outcome::Succeeded
    );
    let (asked, end) = play(op, &peers, |_, device| match device {
        "d" => RunResult::Success,
        _ => RunResult::Internal,
    });
    assert_eq!((asked, end), (vec!["a:off:d+e".into()], Outcome::Failed));
}

#[test]
fn the_next_level_follows_and_nobody_is_no_peer() {
    let mut peers = Peers::new();
    peer(&mut peers, "a", &[("d", None)]);
    peer(&mut peers, "b", &[("e", None)]);
    let levels = vec![
        vec![step("d", Action::Off, 0, 1)],
        vec![step("e", Action::Off, 0, 1)],
    ];
    let (asked, end) = play(active(levels), &peers, |by, _| match by {
        "b" => RunResult::Success,
        _ => RunResult::NotAcknowledged,
    });
    assert_eq!(
        (asked, end),
        (vec!["a:off:d".into(), "b:off:e".into()], Outcome::Succeeded)
    );
    let op = active(vec![vec![step("x", Action::Off, 0, 1)]]);
    let (_, end) = play(op, &peers, |_, _| RunResult::Success);
    assert_eq!(end, Outcome::Refused(Refusal::NoPeer));
}

#[test]
fn a_run_is_written_off_only_after_the_wait_and_only_without_its_session() {
    let mut peers = Peers::new();
    peer(&mut peers, "a", &[("d", None)]);
    let mut op = active(vec![vec![step("d", Action::Off, 0, 1)]]);
    let me: NodeName = "a".parse().unwrap();
    let world = |waited, overdue| World {
        me: &me,
        peers: &peers,
        now: UnixMillis(0),
        waited,
        accept_over: true,
        overdue,
    };
    let Decision::Write(next) = decide(&op, &world(false, false)) else {
        panic!("nothing delegated");
    };
    op = next;
    for (session, overdue) in [
        ("gone", true),
        ("00000000-0000-4000-8000-000000000001", false),
    ] {
        op.attempts[0].state = AttemptState::Running {
            session: session.to_owned(),
            since: UnixMillis(0),
        };
        assert_eq!(
            decide(&op, &world(false, overdue)),
            Decision::Wait,
            "{session}"
        );
    }
    assert!(matches!(
        decide(&op, &world(true, true)),
        Decision::DestroySession(_)
    ));
    peers.values_mut().for_each(|peer| peer.session = None);
    let world = World {
        waited: true,
        ..World {
            me: &me,
            peers: &peers,
            now: UnixMillis(0),
            waited: true,
            accept_over: true,
            overdue: true,
        }
    };
    let Decision::Write(next) = decide(&op, &world) else {
        panic!("not written off");
    };
    assert!(matches!(next.attempts[0].state, AttemptState::Ended { .. }));
    assert!(!is_driver(&next, &world));
    let Decision::End(end) = decide(&next, &world) else {
        panic!("no end");
    };
    assert_eq!(end.ended().unwrap().outcome, Outcome::Indeterminate);
    assert_eq!(node_after(&end, &Default::default(), None), None);
}
