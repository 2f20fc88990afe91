//! What the tests stand on: a [`Cluster`] in Consul, a [`Bridge`], and processes on its ha_link.

mod acl;
mod bridge;
mod cluster;
#[allow(dead_code, reason = "other tests use the rest")]
mod recorder;

use std::future::Future;

use halink::{Fid, FidType};

pub(crate) use crate::common::consul::{self, free_ports};
pub(crate) use crate::common::{PATIENCE, eventually};
pub(crate) use acl::Guarded;
pub(crate) use bridge::{Bridge, Settings, Until};
pub(crate) use cluster::{Cluster, Instance};
pub(crate) use recorder::Recorder;

/// Process fid of a key: `0x7200000000000001:<key>`.
pub(crate) fn process(key: u64) -> Fid {
    Fid::typed(FidType::Process, 1, key)
}

/// Service fid of a key. Process `k` of a small cluster has the services `2k` and `2k + 1`.
pub(crate) fn service(key: u64) -> Fid {
    Fid::typed(FidType::Service, 1, key)
}

/// Awaits something that must not take for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}
