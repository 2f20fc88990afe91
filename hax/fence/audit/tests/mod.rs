//! The audit file: what breaks its chain is found, and crashes do not.

mod chain;
mod file;
mod follow;

use super::*;
use crate::fence::model::{
    Action, Attempt, AttemptState, End, Ended, Level, NodeName, OpId, Operation, Options, Origin,
    Outcome, Phase, Plan, RunResult, Source, Step, UnixMillis,
};

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn event(n: usize) -> Event {
    Event::Uninhibited {
        target: format!("ssu{n}"),
    }
}

/// Lines of a chain, each with its end.
fn lines(count: usize) -> Vec<Vec<u8>> {
    let mut prev = Hash::default();
    let mut lines = Vec::new();
    for n in 1..=count {
        let entry = Entry {
            seq: n as u64,
            at: UnixMillis(n as u64),
            node: node("ssu1"),
            prev,
            event: event(n),
        };
        let mut line = serde_json::to_vec(&entry).unwrap();
        prev = Hash::of(&line);
        line.push(b'\n');
        lines.push(line);
    }
    lines
}

fn origin(at: &str) -> Origin {
    Origin {
        node: node(at),
        source: Source::Operator,
        who: "root@ssu1".to_owned(),
        reason: "its fan burns".to_owned(),
        at: UnixMillis(5),
    }
}

/// An operation of ssu1's that has just been asked for.
fn operation() -> Operation {
    Operation {
        id: OpId::new(),
        target: "ssu3".parse().unwrap(),
        action: Action::Off,
        origin: origin("ssu1"),
        joined: Vec::new(),
        options: Options::default(),
        driver: node("ssu1"),
        phase: Phase::Requested,
        before: Default::default(),
        plan: None,
        attempts: Vec::new(),
    }
}

/// The same with one attempt by ssu2, in this state.
fn attempted(op: &Operation, state: AttemptState) -> Operation {
    let step = Step {
        device: "pdu".parse().unwrap(),
        action: Action::Off,
        group: 0,
        required: true,
        tries: 1,
        delay_ms: 0,
        delay_max_ms: 0,
        run_max_ms: 1000,
        on_target: false,
    };
    let level = Level {
        level: 1,
        steps: vec![step],
    };
    Operation {
        phase: Phase::Active,
        plan: Some(Plan {
            epoch: 3,
            levels: vec![level],
        }),
        attempts: vec![Attempt {
            level: 0,
            steps: vec![0],
            peer: node("ssu2"),
            verified: true,
            state,
        }],
        ..op.clone()
    }
}

fn success() -> AttemptState {
    AttemptState::Ended {
        runs: vec![Ended {
            result: RunResult::Success,
            evidence: "exit code 0".to_owned(),
            took_ms: 8,
        }],
    }
}

fn ended(op: &Operation) -> Operation {
    let end = End {
        outcome: Outcome::Succeeded,
        detail: "it is off".to_owned(),
        at: UnixMillis(9),
    };
    Operation {
        phase: Phase::Ended(end),
        ..attempted(op, success())
    }
}
