//! Whether an operation may begin.

use crate::config::fence::FenceConfig;
use crate::fence::model::{
    Inhibit, NodeName, Operation, Phase, Refusal, Source, Target, UnixMillis,
};
use crate::fence::view::{FenceView, Stored};

use super::expiry::expired;
use super::storm::too_many;
use super::within::within;

/// What the gates say of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may begin.
    Pass,
    /// It waits, and why. A held one that is asked about again passes when the reason has gone.
    Hold(String),
    /// It ends, and why.
    Refuse(Refusal, String),
    /// It ends, because it is too old.
    Expire,
}

/// Whether an operation that is requested or held may begin now. `nodes` is how many nodes the catalog
/// has. An operation that has begun or ended passes: there is nothing left to keep.
///
/// The caller commits what follows only if `guard`, `nodes/<t>` and the inhibits are still as in `view`.
pub fn admit(
    config: &FenceConfig,
    view: &FenceView,
    op: &Operation,
    nodes: usize,
    now: UnixMillis,
) -> Verdict {
    if !matches!(op.phase, Phase::Requested | Phase::Held { .. }) {
        return Verdict::Pass;
    }
    if expired(config, op, now) {
        return Verdict::Expire;
    }
    let node = op.target.node();
    if !op.action.fences() {
        // Nothing keeps a node out but its quarantine.
        return match quarantine(view, node) {
            Some(why) if op.origin.source != Source::Operator => {
                Verdict::Refuse(Refusal::Quarantined, format!("{node}: {why}"))
            }
            _ => Verdict::Pass,
        };
    }
    if op.options.overridden.is_some() {
        return Verdict::Pass;
    }
    if let Some((name, inhibit)) = inhibited(view, &op.target, now) {
        let detail = format!(
            "{name} until {}, by {}: {}",
            inhibit.until.0, inhibit.who, inhibit.reason
        );
        return Verdict::Refuse(Refusal::Inhibited, detail);
    }
    match too_many(config, &view.guard.value, op, nodes, now) {
        Some(why) => Verdict::Hold(why),
        None => Verdict::Pass,
    }
}

/// Whether one more fence of a node breaks its loop: it is switched off instead of rebooted, and
/// quarantined. So it is when it was fenced `loop_count` - 1 times within `loop_window`, and when it
/// is in quarantine. An operation with `overridden` is not asked about.
pub fn breaks_loop(
    config: &FenceConfig,
    view: &FenceView,
    target: &NodeName,
    now: UnixMillis,
) -> bool {
    let fences = |op: &Operation| {
        let of_node = op.action.fences() && op.target == Target::Node(target.clone());
        let lately = |at| within(at, now, config.loop_window);
        let success = op
            .ended()
            .is_some_and(|end| end.outcome.is_success() && lately(end.at));
        of_node && success
    };
    let before = view.ops.values().filter(|op| fences(&op.value)).count();
    let count = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
    count >= config.loop_count || quarantine(view, target).is_some()
}

fn quarantine<'a>(view: &'a FenceView, node: &NodeName) -> Option<&'a str> {
    view.nodes.get(node)?.value.quarantined.as_deref()
}

/// The inhibit that keeps a target, if one does: its own, its node's, or that of all. One whose time is
/// over counts for nothing; one that a clock set back has made longer is seen, and ended, by an operator.
fn inhibited<'a>(
    view: &'a FenceView,
    target: &Target,
    now: UnixMillis,
) -> Option<(String, &'a Inhibit)> {
    let names = [
        target.to_string(),
        target.node().to_string(),
        "*".to_owned(),
    ];
    names.into_iter().find_map(|name| {
        let Stored { value, .. } = view.inhibits.get(&name)?;
        (value.until > now).then_some((name, value))
    })
}
