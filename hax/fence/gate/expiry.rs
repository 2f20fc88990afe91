//! What has waited for too long never fires.

use std::time::Duration;

use crate::config::fence::FenceConfig;
use crate::fence::model::{Operation, Phase, Source, UnixMillis};

use super::within::within;

/// Whether an operation that has not begun is too old to begin.
///
/// A request is measured by its age. One that a gate holds is measured by how long it was held, since a
/// person may be looking at it, but one from a request file by both: who wrote the file gives up
/// by itself, and acts as if nothing had been done.
pub(super) fn expired(config: &FenceConfig, op: &Operation, now: UnixMillis) -> bool {
    let expire = Duration::from_millis(op.options.expire_ms);
    let too_old = !within(op.origin.at, now, expire);
    match &op.phase {
        Phase::Requested => too_old,
        Phase::Held { since, .. } => {
            let held_too_long = !within(*since, now, config.held_max);
            held_too_long || (too_old && op.origin.source == Source::Files)
        }
        Phase::Active | Phase::Ended(_) => false,
    }
}
