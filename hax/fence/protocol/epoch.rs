//! What the end of an operation changes in its node's record.

use crate::fence::model::{Action, Fenced, NodeRecord, Operation, Target};

/// The record of the target's node after the end of an operation; none if it does not change. A success of
/// `off` or `reboot` of a node raises the epoch by one and marks it as fenced; a success of `on` takes
/// the mark away, but no quarantine. It belongs into the transaction **end**, with the index of the record
/// it was made from: that is why the epoch grows once for each success.
///
/// `boot_id` is the one that the node has published last.
pub fn node_after(
    op: &Operation,
    record: &NodeRecord,
    boot_id: Option<String>,
) -> Option<NodeRecord> {
    let end = op.ended()?;
    if !end.outcome.is_success() || matches!(op.target, Target::Process { .. }) {
        return None;
    }
    let mut record = record.clone();
    match op.action {
        Action::On => record.fenced = None,
        Action::Off | Action::Reboot => {
            record.epoch = record.epoch.saturating_add(1);
            record.fenced = Some(Fenced {
                op: op.id.clone(),
                action: op.action,
                boot_id,
                at: end.at,
            });
        }
    }
    Some(record)
}
