//! P1 to P5 of the RFC, and what has to hold so that they mean something.

use stateright::Property;

use crate::fence::model::{AttemptState, Outcome};

use super::{AgentState, Fencing, State};

pub(super) fn all() -> Vec<Property<Fencing>> {
    vec![
        Property::always("P1 never two at once", |_, state: &State| {
            let mut running = state
                .agents
                .iter()
                .filter(|agent| matches!(agent.state, AgentState::Running(_)));
            running.next();
            running.next().is_none()
        }),
        Property::always(
            "P1 no attempt is over while its agent may act",
            over_is_over,
        ),
        Property::always("P2 no success without a confirmed run", confirmed),
        Property::always("P3 every operation ends", ends),
        Property::always(
            "P4 agents only of operations that go on",
            |_, state: &State| {
                let acts = |agent: &super::Agent| Fencing::acts(agent);
                let gone = |op: u8| op != state.number || !state.active;
                !state
                    .agents
                    .iter()
                    .any(|agent| acts(agent) && gone(agent.op))
            },
        ),
        Property::always("P5 the epoch counts the successes", |_, state: &State| {
            state.node.epoch == state.successes.len() as u64
        }),
        Property::always("an end is for good", |_, state: &State| !state.risen),
        Property::always(
            "the target is never its own delegate",
            |model: &Fencing, state: &State| {
                let target = model.target.node();
                !state
                    .op
                    .attempts
                    .iter()
                    .any(|attempt| attempt.peer == *target)
            },
        ),
        Property::sometimes("an operation succeeds", |_, state: &State| {
            !state.successes.is_empty()
        }),
        Property::sometimes("an operation fails", |_, state: &State| {
            let end = state.op.ended();
            end.is_some_and(|end| matches!(end.outcome, Outcome::Failed))
        }),
    ]
}

fn over_is_over(model: &Fencing, state: &State) -> bool {
    let acting = state.agents.iter().filter(|agent| Fencing::acts(agent));
    acting
        .filter(|agent| agent.op == state.number)
        .all(|agent| {
            let attempt = state.op.attempts.get(agent.attempt);
            attempt.is_some_and(|attempt| match &attempt.state {
                AttemptState::Running { .. } => attempt.peer == model.names[agent.peer],
                _ => false,
            })
        })
}

fn confirmed(_: &Fencing, state: &State) -> bool {
    let end = state.op.ended();
    if end.is_none_or(|end| end.outcome != Outcome::Succeeded) {
        return true;
    }
    let Some(plan) = &state.op.plan else {
        return false;
    };
    plan.levels.iter().enumerate().any(|(index, level)| {
        let required = level
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| step.required);
        let mut done = required.map(|(at, _)| state.confirmed.contains(&(index, at)));
        done.all(|done| done)
    })
}

/// Where nothing more can happen without a fault, the operation has ended. No step but a fault can be
/// repeated for ever, so every run without end of faults comes to such a state.
fn ends(model: &Fencing, state: &State) -> bool {
    if state.op.ended().is_some() {
        return true;
    }
    let acts = model.all(state);
    let mut can = acts.iter().filter(|act| !act.is_fault());
    can.any(|act| model.apply(state, act).is_some())
}
