//! `[plugins]` and `[plugins.drbd]`.

use super::model::{DrbdConfig, PluginsConfig};
use super::schema as keys;
use crate::config::build::duration;
use crate::config::reader::Reader;
use crate::config::value;

/// Reads them; `Some(None)` if they are right, but name no directory of snippets.
pub(in crate::config) fn read(r: &mut Reader<'_>) -> Option<Option<PluginsConfig>> {
    let given = r.is_given(&keys::SNIPPETS);
    let snippets = r.text(&keys::SNIPPETS, value::absolute);
    let watch = r.boolean(&keys::WATCH);
    let runtime_dir = r.text(&keys::RUNTIME_DIR, value::absolute);
    let queue_max = r.number(&keys::QUEUE_MAX);
    let start_timeout = duration(r, &keys::START_TIMEOUT);
    let stop_timeout = duration(r, &keys::STOP_TIMEOUT);
    let drbd = drbd(r);
    let (watch, runtime_dir, queue_max) = (watch?, runtime_dir?, queue_max?);
    let (start_timeout, stop_timeout, drbd) = (start_timeout?, stop_timeout?, drbd?);
    if !given {
        return Some(None);
    }
    Some(Some(PluginsConfig {
        snippets: snippets?,
        watch,
        runtime_dir,
        queue_max: usize::try_from(queue_max).ok()?.try_into().ok()?,
        start_timeout,
        stop_timeout,
        drbd,
    }))
}

/// `Some(None)` if it is right, but not enabled.
fn drbd(r: &mut Reader<'_>) -> Option<Option<DrbdConfig>> {
    let enabled = r.boolean(&keys::DRBD_ENABLED);
    let drbdsetup = r.text(&keys::DRBDSETUP, value::absolute);
    let statistics_interval = duration(r, &keys::DRBD_STATISTICS_INTERVAL);
    let config = DrbdConfig {
        drbdsetup: drbdsetup?,
        statistics_interval: statistics_interval?,
    };
    Some(enabled?.then_some(config))
}
