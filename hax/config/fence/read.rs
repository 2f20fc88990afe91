//! `[fence]` and `[fence.files]`.

use super::model::{FenceConfig, FilesConfig, Readmit};
use super::{device, level, policy, schema as keys, value};
use crate::config::build::{choice, duration};
use crate::config::model::NodeConfig;
use crate::config::reader::Reader;
use crate::config::schema::{KeyDoc, NODE_NAME};
use crate::fence::model::{Action, NodeName};

/// Reads all of fencing; `Some(None)` if it is right, but not enabled.
pub(in crate::config) fn read(
    r: &mut Reader<'_>,
    node: Option<&NodeConfig>,
) -> Option<Option<FenceConfig>> {
    let enabled = r.boolean(&keys::ENABLED);
    let session_ttl = duration(r, &keys::SESSION_TTL);
    let lock_delay = duration(r, &keys::LOCK_DELAY);
    let startup_grace = duration(r, &keys::STARTUP_GRACE);
    let expire = duration(r, &keys::EXPIRE);
    let held_max = duration(r, &keys::HELD_MAX);
    let storm_targets = number(r, &keys::STORM_TARGETS);
    let storm_percent = number(r, &keys::STORM_PERCENT);
    let storm_window = duration(r, &keys::STORM_WINDOW);
    let loop_count = number(r, &keys::LOOP_COUNT);
    let loop_window = duration(r, &keys::LOOP_WINDOW);
    let tolerance = duration(r, &keys::TOLERANCE);
    let action = choice(r, &keys::ACTION, |word| match word {
        "off" => Some(Action::Off),
        "reboot" => Some(Action::Reboot),
        _ => None,
    });
    let history_max = number(r, &keys::HISTORY_MAX);
    let history_age = duration(r, &keys::HISTORY_AGE);
    let audit_file = r.text(&keys::AUDIT_FILE, value::path);
    let drill_interval = duration(r, &keys::DRILL_INTERVAL);
    let agent_dir = r.text(&keys::AGENT_DIR, value::path);
    let boot_id_file = r.text(&keys::BOOT_ID_FILE, value::path);
    let readmit = choice(r, &keys::READMIT, |word| match word {
        "reboot" => Some(Readmit::Reboot),
        "operator" => Some(Readmit::Operator),
        _ => None,
    });
    let files = files(r);
    let devices = device::read_all(r, session_ttl, files.as_ref().and_then(Option::as_ref));
    let levels = level::read_all(r, &devices);
    let policies = policy::read_all(r, action);
    let enabled = enabled?;
    if enabled
        && let Some(node) = node
        && let Err(error) = node.name.parse::<NodeName>()
    {
        let why = format!("with fence.enabled it is part of keys: {error}");
        r.refuse(&NODE_NAME, why);
    }
    let config = FenceConfig {
        session_ttl: session_ttl?,
        lock_delay: lock_delay?,
        startup_grace: startup_grace?,
        expire: expire?,
        held_max: held_max?,
        storm_targets: storm_targets?,
        storm_percent: storm_percent?,
        storm_window: storm_window?,
        loop_count: loop_count?,
        loop_window: loop_window?,
        tolerance: tolerance?,
        action: action?,
        history_max: history_max?,
        history_age: history_age?,
        audit_file: audit_file?,
        drill_interval: drill_interval?,
        agent_dir: agent_dir?,
        boot_id_file: boot_id_file?,
        readmit: readmit?,
        devices: devices.read?,
        levels: levels?,
        policies: policies?,
        files: files?,
    };
    Some(enabled.then_some(config))
}

/// `[fence.files]`; `Some(None)` if it is not written.
fn files(r: &mut Reader<'_>) -> Option<Option<FilesConfig>> {
    if !r.has_section("fence.files") {
        return Some(None);
    }
    let request_dir = r.text(&keys::FILES_REQUEST_DIR, value::path);
    let response_dir = r.text(&keys::FILES_RESPONSE_DIR, value::path);
    let max_age = duration(r, &keys::FILES_MAX_AGE);
    let owners = r.numbers(&keys::FILES_OWNERS);
    let (request_dir, response_dir) = (request_dir?, response_dir?);
    if request_dir == response_dir {
        r.refuse(
            &keys::FILES_RESPONSE_DIR,
            "is fence.files.request_dir, too; two directories are wanted".to_owned(),
        );
    }
    // The range of the key is that of a UID.
    let owners = owners?.into_iter().map(u32::try_from);
    Some(Some(FilesConfig {
        request_dir,
        response_dir,
        max_age: max_age?,
        owners: owners.collect::<Result<_, _>>().ok()?,
    }))
}

/// A number whose range is that of a `u32`, or smaller.
pub(super) fn number(r: &mut Reader<'_>, key: &KeyDoc) -> Option<u32> {
    r.number(key).and_then(|number| u32::try_from(number).ok())
}
