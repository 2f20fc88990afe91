//! The view of the cluster (`rfc/9-view.md`), against a real Consul and against one that answers
//! what a real one does rarely.

mod fake;
mod fresh;
mod history;
mod measure;
mod servers;

use std::sync::Arc;

use consul_client::{CatalogCheck, CheckStatus, Client, ReadOptions, Registration};
use halink::{Fid, FidType, HaState};
use hax::cluster::{Detail, Snapshot, View};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::harness::{PATIENCE, process, soon};

/// A view that ends with this value.
struct Followed {
    view: View,
    _cancel: DropGuard,
}

impl Followed {
    fn new(consul: &Client) -> Self {
        let cancel = CancellationToken::new();
        Self {
            view: View::spawn(consul, Detail::States, &cancel),
            _cancel: cancel.drop_guard(),
        }
    }

    async fn fresh(&self) -> Snapshot {
        soon("a fresh view", self.view.fresh()).await.unwrap()
    }

    /// The next that succeeds: what is asked while Consul has no leader fails.
    async fn fresh_at_last(&self) -> Snapshot {
        crate::harness::eventually("a fresh view", async || self.view.fresh().await.ok()).await
    }

    /// Waits until the view knows something by itself.
    async fn wait(&self, what: &str, met: impl FnMut(&Snapshot) -> bool) {
        let mut snapshots = self.view.snapshots();
        let met = tokio::time::timeout(PATIENCE, snapshots.wait_for(met)).await;
        met.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
            .unwrap();
    }

    /// The index of a part, by its name.
    fn index(&self, part: &str) -> u64 {
        let parts = self.view.parts();
        parts.iter().find(|row| row.part == part).unwrap().index
    }
}

fn drive(key: u64) -> Fid {
    Fid::typed(FidType::Drive, 1, key)
}

fn drive_key(key: u64) -> String {
    format!(
        "m0conf/sites/s/racks/r/encls/e/ctrls/c/drives/{}",
        drive(key)
    )
}

/// Stores the state of a drive.
async fn put_drive(consul: &Client, key: u64, state: HaState) {
    try_put_drive(consul, key, state).await.unwrap();
}

async fn try_put_drive(consul: &Client, key: u64, state: HaState) -> Option<()> {
    let value = format!(r#"{{"state":"{state}"}}"#);
    consul.kv().put(&drive_key(key), value).await.ok()
}

/// Stores the status of a process, and returns its index.
async fn put_status(consul: &Client, key: u64, event: &str) -> u64 {
    try_put_status(consul, key, event).await.unwrap()
}

async fn try_put_status(consul: &Client, key: u64, event: &str) -> Option<u64> {
    let prefix = "M0_CONF_HA_PROCESS_";
    let value = format!(r#"{{"state":"{prefix}{event}","type":"{prefix}M0D"}}"#);
    let path = format!("processes/{}", process(key));
    consul.kv().put(&path, value).await.ok()?;
    let read = consul.kv().with(ReadOptions::consistent());
    let pair = read.get(&path).await.ok()?.value?;
    Some(pair.modify_index.0)
}

/// Registers a node without an agent on which a service of a process has this check.
async fn put_check(consul: &Client, key: u64, status: CheckStatus) {
    let mut far = Registration::new("far", "127.0.0.1");
    far.check = Some(CatalogCheck {
        check_id: format!("check:{key}"),
        name: "status".to_owned(),
        status,
        output: String::new(),
        service_id: key.to_string(),
    });
    far.service = Some(consul_client::Service {
        id: key.to_string(),
        name: "ios".to_owned(),
        meta: Default::default(),
        address: String::new(),
        port: 0,
        tags: Vec::new(),
        create_index: consul_client::Index(0),
        modify_index: consul_client::Index(0),
    });
    consul.catalog().register(&far).await.unwrap();
}

/// Whether two snapshots have the very same content, part by part.
fn same(one: &Snapshot, other: &Snapshot) -> [bool; 3] {
    [
        Arc::ptr_eq(&one.tree, &other.tree),
        Arc::ptr_eq(&one.processes, &other.processes),
        Arc::ptr_eq(&one.failing, &other.failing),
    ]
}
