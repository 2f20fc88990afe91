//! What the driver does next.

use crate::fence::model::{
    Attempt, AttemptState, End, Ended, Operation, Outcome, Phase, Refusal, RunResult,
};

use super::level::{Lack, Standing, any_indeterminate, standing};
use super::peers::{alive, holds};
use super::{Decision, RUNS_MAX, World};

/// What the driver does next for an active operation; [`Decision::Wait`] for one that is not. There is
/// never an attempt while another is open, and an attempt that may be running is written off only when
/// `world.waited` says that it has ended. Whatever the record says, the operation comes to an end.
pub fn decide(op: &Operation, world: &World<'_>) -> Decision {
    if op.phase != Phase::Active {
        return Decision::Wait;
    }
    match op.open_attempt() {
        Some((index, attempt)) => open(op, index, attempt, world),
        None => next(op, world),
    }
}

fn open(op: &Operation, index: usize, attempt: &Attempt, world: &World<'_>) -> Decision {
    match &attempt.state {
        AttemptState::Delegated if !alive(world.peers, &attempt.peer) => {
            let why = "the delegate has gone before it started";
            Decision::Write(close(op, index, RunResult::Refused, why, world))
        }
        AttemptState::Delegated if world.accept_over => {
            let why = "the delegate has not started it in time";
            Decision::Write(close(op, index, RunResult::Refused, why, world))
        }
        AttemptState::Running { session, .. } if holds(world.peers, &attempt.peer, session) => {
            if world.overdue {
                Decision::DestroySession(session.clone())
            } else {
                Decision::Wait
            }
        }
        AttemptState::Running { .. } if world.waited => {
            let why = "the delegate's session was lost";
            Decision::Write(close(op, index, RunResult::Indeterminate, why, world))
        }
        _ => Decision::Wait,
    }
}

fn next(op: &Operation, world: &World<'_>) -> Decision {
    let end = |outcome, detail: String| Decision::End(ended(op, outcome, detail, world));
    let Some(plan) = &op.plan else {
        return end(without_success(op), "the record has no plan".to_owned());
    };
    // An attempt after one that is open: nothing of ours has written that.
    let over = |attempt: &Attempt| matches!(attempt.state, AttemptState::Ended { .. });
    if !op.attempts.iter().all(over) {
        let detail = "the record has an attempt that nobody has ended";
        return end(Outcome::Indeterminate, detail.to_owned());
    }
    // A level that was left is not gone back to, though a peer that was missing may be there again.
    let begun = op.attempts.iter().map(|attempt| attempt.level).max();
    let mut reason = None;
    let levels = plan.levels.iter().enumerate();
    for (index, level) in levels.skip(begun.unwrap_or(0)) {
        match standing(op, index, level, world) {
            Standing::Succeeded if level.steps.iter().any(|step| step.required) => {
                let detail = format!("level {}", level.level);
                return end(Outcome::Succeeded, detail);
            }
            Standing::Succeeded => {
                reason = Some((Lack::Tries, "a level has no step".to_owned()));
            }
            Standing::Failed(lack, why) => reason = Some((lack, why)),
            Standing::Next(attempt) => return delegate(op, attempt, world),
        }
    }
    match reason {
        Some((Lack::Peer, why)) if op.attempts.is_empty() => {
            end(Outcome::Refused(Refusal::NoPeer), why)
        }
        Some((_, why)) => end(without_success(op), why),
        None => end(
            without_success(op),
            "the record has no such level".to_owned(),
        ),
    }
}

fn delegate(op: &Operation, attempt: Attempt, world: &World<'_>) -> Decision {
    let count = |attempt: &Attempt| attempt.steps.len().max(1);
    let runs = op.attempts.iter().map(count).fold(0, usize::saturating_add);
    if runs.saturating_add(count(&attempt)) > RUNS_MAX {
        let detail = format!("given up after {runs} runs");
        return Decision::End(ended(op, without_success(op), detail, world));
    }
    let mut op = op.clone();
    op.driver = world.me.clone();
    op.attempts.push(attempt);
    Decision::Write(op)
}

/// The operation with an attempt ended, each of its steps with this result.
fn close(
    op: &Operation,
    index: usize,
    result: RunResult,
    why: &str,
    world: &World<'_>,
) -> Operation {
    let mut op = op.clone();
    op.driver = world.me.clone();
    if let Some(attempt) = op.attempts.get_mut(index) {
        let run = Ended {
            result,
            evidence: why.to_owned(),
            took_ms: 0,
        };
        let runs = vec![run; attempt.steps.len()];
        attempt.state = AttemptState::Ended { runs };
    }
    op
}

fn without_success(op: &Operation) -> Outcome {
    if any_indeterminate(op) {
        Outcome::Indeterminate
    } else {
        Outcome::Failed
    }
}

fn ended(op: &Operation, outcome: Outcome, detail: String, world: &World<'_>) -> Operation {
    let mut op = op.clone();
    op.driver = world.me.clone();
    let at = world.now;
    op.phase = Phase::Ended(End {
        outcome,
        detail,
        at,
    });
    op
}
