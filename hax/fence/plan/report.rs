//! What an operation would do, for `haxctl fence plan`.

use super::{Facts, plan, worst};
use crate::fence::handle::{PlanReport, PlannedStep};
use crate::fence::model::{Action, DeviceName, NodeName, Options, Step, Target};

/// What an operation would do now, without doing it. `gates` is what would hold or refuse it; if there
/// is no plan, why is added to them. `input` is what an agent would be given, without secrets, and
/// `candidates` are the peers that could do a step, in the order in which they would be asked, and
/// whether they have verified it.
pub fn report(
    facts: &Facts<'_>,
    target: &Target,
    action: Action,
    mut gates: Vec<String>,
    input: impl Fn(&DeviceName, &Target, Action) -> Vec<(String, String)>,
    candidates: impl Fn(&Step, &Target) -> Vec<(NodeName, bool)>,
) -> PlanReport {
    let lock_delay = facts.config.lock_delay;
    let planned = plan(facts, target, action, &Options::default(), 0);
    let plan = match planned {
        Ok(plan) => Some(plan),
        Err(refused) => {
            gates.push(refused.to_string());
            None
        }
    };
    let levels = plan.iter().flat_map(|plan| &plan.levels);
    let steps = levels.flat_map(|level| level.steps.iter().map(move |step| (level.level, step)));
    let steps = steps
        .map(|(level, step)| PlannedStep {
            level,
            device: step.device.clone(),
            action: step.action,
            peers: candidates(step, target),
            worst_ms: worst::step_ms(step, lock_delay),
            input: input(&step.device, target, step.action),
        })
        .collect();
    PlanReport {
        target: target.clone(),
        action,
        worst_ms: plan
            .as_ref()
            .map_or(0, |plan| worst::worst_ms(plan, lock_delay)),
        steps,
        plan,
        gates,
    }
}
