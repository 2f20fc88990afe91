//! The storm guard: not too many targets within its window.

use std::collections::BTreeSet;

use crate::config::fence::FenceConfig;
use crate::fence::model::{Activation, GuardRecord, NodeName, Operation, UnixMillis};

use super::within::within;

/// Activations that the guard remembers at most; the oldest are forgotten first.
pub const GUARD_MAX: usize = 1024;

/// Why one more target would be too many, if it would. A node and its processes are one target: what
/// is guarded against is the loss of many nodes, not of many processes of one. So the escalation from a
/// process to its node is free, too. `nodes` is how many the catalog has.
pub(super) fn too_many(
    config: &FenceConfig,
    guard: &GuardRecord,
    op: &Operation,
    nodes: usize,
    now: UnixMillis,
) -> Option<String> {
    let counted: BTreeSet<&NodeName> = guard
        .recent
        .iter()
        .filter(|last| within(last.at, now, config.storm_window))
        .map(|last| last.target.node())
        .collect();
    let limit = limit(config, nodes);
    let one_more = !counted.contains(op.target.node());
    (one_more && counted.len() >= limit).then(|| {
        format!(
            "storm guard: {} nodes were fenced within {} s, and {limit} may be (fence.storm_targets = {}, \
             fence.storm_percent = {} of {nodes} nodes); it goes on when the window has room, or with \
             `haxctl fence release {} --override`",
            counted.len(),
            config.storm_window.as_secs(),
            config.storm_targets,
            config.storm_percent,
            op.id,
        )
    })
}

fn limit(config: &FenceConfig, nodes: usize) -> usize {
    let targets = usize::try_from(config.storm_targets).unwrap_or(usize::MAX);
    let percent = usize::try_from(config.storm_percent).unwrap_or(usize::MAX);
    let share = nodes.saturating_mul(percent) / 100;
    targets.min(share).max(1)
}

/// The guard's record with the activation of an operation, and without those that no longer count. What
/// only lets a node return is not counted.
pub fn activated(
    config: &FenceConfig,
    guard: &GuardRecord,
    op: &Operation,
    now: UnixMillis,
) -> GuardRecord {
    let kept = guard.recent.iter();
    let mut recent: Vec<_> = kept
        .filter(|last| within(last.at, now, config.storm_window))
        .cloned()
        .collect();
    if op.action.fences() {
        recent.push(Activation {
            target: op.target.clone(),
            at: now,
        });
    }
    let surplus = recent.len().saturating_sub(GUARD_MAX);
    recent.drain(..surplus);
    GuardRecord { recent }
}
