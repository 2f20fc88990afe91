//! Where a level stands: which steps are done, which can be tried again, and by whom.

use crate::fence::model::{
    Attempt, AttemptState, Ended, Level, NodeName, Operation, RunResult, Step,
};

use super::{NOT_BEGUN_FREE, World, candidates};

/// What is to be done in a level.
#[derive(Debug)]
pub(super) enum Standing {
    /// Every required step was a success, and there is nothing more to try.
    Succeeded,
    /// A required step cannot be done, and why.
    Failed(Lack, String),
    /// The next attempt.
    Next(Attempt),
}

/// Why a step cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// It was tried as often as it may be.
    Tries,
    /// Nobody can do it.
    Peer,
}

/// Where a step stands.
enum StepState {
    Done,
    Lacks(Lack),
    /// By whom it may be tried now; never empty.
    Open(Vec<(NodeName, bool)>),
}

/// Where the level with this index stands. All attempts in it have ended.
pub(super) fn standing(op: &Operation, index: usize, level: &Level, world: &World<'_>) -> Standing {
    let mut open = Vec::new();
    for (at, step) in level.steps.iter().enumerate() {
        match step_state(op, index, at, step, world) {
            StepState::Open(peers) => open.push((at, step, peers)),
            StepState::Lacks(lack) if step.required => {
                return Standing::Failed(lack, words(lack, step));
            }
            StepState::Done | StepState::Lacks(_) => {}
        }
    }
    let Some((first, step, peers)) = open.first() else {
        return Standing::Succeeded;
    };
    let Some((best, verified)) = peers.first() else {
        return Standing::Failed(Lack::Peer, words(Lack::Peer, step));
    };
    // Steps that have been done may lie between those of a group; another group may not.
    let same = level.steps.iter().skip(*first);
    let end = first + same.take_while(|other| other.group == step.group).count();
    let group: Vec<_> = open.iter().take_while(|(at, ..)| *at < end).collect();
    let together = peers
        .iter()
        .find(|(peer, _)| group.iter().all(|(.., peers)| as_good_as_best(peer, peers)));
    let attempt = match together {
        Some((peer, _)) => Attempt {
            level: index,
            steps: group.iter().map(|(at, ..)| *at).collect(),
            peer: peer.clone(),
            verified: group
                .iter()
                .all(|(.., peers)| peers.contains(&(peer.clone(), true))),
            state: AttemptState::Delegated,
        },
        None => Attempt {
            level: index,
            steps: vec![*first],
            peer: best.clone(),
            verified: *verified,
            state: AttemptState::Delegated,
        },
    };
    Standing::Next(attempt)
}

/// Doing steps at once is not worth a peer that has verified less.
fn as_good_as_best(peer: &NodeName, peers: &[(NodeName, bool)]) -> bool {
    let best = peers.first().is_some_and(|(_, verified)| *verified);
    let found = peers.iter().find(|(name, _)| name == peer);
    found.is_some_and(|(_, verified)| *verified == best)
}

fn words(lack: Lack, step: &Step) -> String {
    match lack {
        Lack::Tries => format!(
            "{} of {} did not succeed",
            step.action.as_str(),
            step.device
        ),
        Lack::Peer => format!(
            "no peer that may use {} is alive for {}",
            step.device,
            step.action.as_str()
        ),
    }
}

fn step_state(
    op: &Operation,
    level: usize,
    at: usize,
    step: &Step,
    world: &World<'_>,
) -> StepState {
    let tried: Vec<_> = runs(op, level, at).collect();
    let results = || tried.iter().map(|(_, result)| *result);
    if results().any(|result| result == RunResult::Success) {
        return StepState::Done;
    }
    let not_begun = results().filter(|result| was_not_begun(*result)).count();
    let begun = tried.len().saturating_sub(not_begun);
    let used = begun.saturating_add(not_begun.saturating_sub(NOT_BEGUN_FREE));
    if used >= usize::from(step.tries.max(1)) {
        return StepState::Lacks(Lack::Tries);
    }
    let mut peers = candidates(step, &op.target, world.peers);
    if peers.is_empty() {
        return StepState::Lacks(Lack::Peer);
    }
    let elsewhere = results()
        .next_back()
        .is_some_and(RunResult::another_peer_may);
    let untried = |peer: &NodeName| !tried.iter().any(|(by, _)| *by == peer);
    if elsewhere && peers.iter().any(|(peer, _)| untried(peer)) {
        peers.retain(|(peer, _)| untried(peer));
    }
    // Where the agent is missing it will be missing the next time.
    let missing = |peer: &NodeName| tried.contains(&(peer, RunResult::NotInstalled));
    peers.retain(|(peer, _)| !missing(peer));
    if peers.is_empty() {
        return StepState::Lacks(Lack::Tries);
    }
    StepState::Open(peers)
}

fn was_not_begun(result: RunResult) -> bool {
    matches!(result, RunResult::Refused | RunResult::NotInstalled)
}

/// The runs of a step that have ended, with their delegates, in order.
fn runs(
    op: &Operation,
    level: usize,
    at: usize,
) -> impl DoubleEndedIterator<Item = (&NodeName, RunResult)> {
    let attempts = op.attempts.iter();
    attempts
        .filter(move |attempt| attempt.level == level)
        .filter_map(move |attempt| {
            let place = attempt.steps.iter().position(|step| *step == at)?;
            let AttemptState::Ended { runs } = &attempt.state else {
                return None;
            };
            // A run that was not written down may have had any end.
            let result = |run: &Ended| run.result;
            let result = runs.get(place).map_or(RunResult::Indeterminate, result);
            Some((&attempt.peer, result))
        })
}

/// Whether nobody knows how a run of a step that fences has ended.
pub(super) fn any_indeterminate(op: &Operation) -> bool {
    let Some(plan) = &op.plan else {
        return !op.attempts.is_empty();
    };
    plan.levels.iter().enumerate().any(|(index, level)| {
        let fencing = level.steps.iter().enumerate();
        fencing
            .filter(|(_, step)| step.action.fences() || !op.action.fences())
            .any(|(at, _)| {
                runs(op, index, at).any(|(_, result)| result == RunResult::Indeterminate)
            })
    })
}
