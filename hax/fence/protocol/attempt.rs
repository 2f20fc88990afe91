//! What the delegate does with an attempt.

use crate::fence::model::{
    Attempt, AttemptState, EVIDENCE_MAX, Ended, NodeName, Operation, Phase, RunResult, UnixMillis,
};

/// The attempt that waits for `me` to start it.
pub fn delegated_to(op: &Operation, me: &NodeName) -> Option<usize> {
    let (index, attempt) = open(op)?;
    let mine = attempt.peer == *me && attempt.state == AttemptState::Delegated;
    mine.then_some(index)
}

/// The operation with the attempt running; none if it does not wait for its start. It may be committed
/// only together with the checks of **start**: `session` holds the target's lock, the delegate's own
/// key and a slot of each device, and the node's epoch is the plan's.
pub fn start(op: &Operation, attempt: usize, session: &str, now: UnixMillis) -> Option<Operation> {
    let (index, open) = open(op)?;
    let waits = index == attempt && open.state == AttemptState::Delegated;
    let state = AttemptState::Running {
        session: session.to_owned(),
        since: now,
    };
    waits.then(|| with_state(op, attempt, state))
}

/// The operation with the attempt ended as it has ended; none if it is not this session's to end. It may
/// be committed only together with the check of **finish**: `session` still holds the target's lock.
///
/// `runs` are those of the attempt's steps, in their order. One that is missing is indeterminate, and
/// evidence that is too long is cut.
pub fn finish(
    op: &Operation,
    attempt: usize,
    session: &str,
    runs: Vec<Ended>,
) -> Option<Operation> {
    let (index, open) = open(op)?;
    let AttemptState::Running { session: by, .. } = &open.state else {
        return None;
    };
    let mine = index == attempt && by == session;
    mine.then(|| with_state(op, attempt, ended(open, runs)))
}

/// The operation with an attempt that was never started refused by its delegate; none if it does not
/// wait for its start. A **start** that is still on its way can no longer be committed after it.
pub fn decline(op: &Operation, attempt: usize, runs: Vec<Ended>) -> Option<Operation> {
    let (index, open) = open(op)?;
    let waits = index == attempt && open.state == AttemptState::Delegated;
    waits.then(|| with_state(op, attempt, ended(open, runs)))
}

/// Whether an operator may end the operation now, cancelled or confirmed. Not while an attempt may be
/// running: the end frees the target, and the next operation could act on it at the same time. An attempt
/// that has only been delegated can no longer start after the end.
pub fn may_end(op: &Operation) -> bool {
    let running = |attempt: &Attempt| matches!(attempt.state, AttemptState::Running { .. });
    op.ended().is_none() && !op.attempts.iter().any(running)
}

fn open(op: &Operation) -> Option<(usize, &Attempt)> {
    op.open_attempt().filter(|_| op.phase == Phase::Active)
}

fn ended(attempt: &Attempt, mut runs: Vec<Ended>) -> AttemptState {
    let missing = Ended {
        result: RunResult::Indeterminate,
        evidence: "the run was not reported".to_owned(),
        took_ms: 0,
    };
    runs.resize(attempt.steps.len(), missing);
    for run in &mut runs {
        let end = EVIDENCE_MAX.min(run.evidence.len());
        let boundary = (0..=end)
            .rev()
            .find(|at| run.evidence.is_char_boundary(*at));
        run.evidence.truncate(boundary.unwrap_or(0));
    }
    AttemptState::Ended { runs }
}

fn with_state(op: &Operation, index: usize, state: AttemptState) -> Operation {
    let mut op = op.clone();
    if let Some(attempt) = op.attempts.get_mut(index) {
        attempt.state = state;
    }
    op
}
