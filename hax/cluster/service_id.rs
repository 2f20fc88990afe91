//! Consul service IDs that name Motr processes (4/KV).

use halink::{Fid, FidType};

use super::fid_of_key;

/// The process a service ID names: a process fid in either form, or the decimal key of one.
/// `None`: the ID is of something else.
pub fn process_of_service_id(id: &str) -> Option<Fid> {
    if let Ok(key) = id.parse::<u64>() {
        return Some(fid_of_key(FidType::Process, key));
    }
    let fid: Fid = id.parse().ok()?;
    (fid.fid_type() == Some(FidType::Process)).then_some(fid)
}
