//! A fresh view is no older than the call, and costs little when nothing has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use consul_client::{CheckStatus, Config};
use halink::{HaState, ProcessEvent};
use tokio::task::JoinSet;

use super::{Followed, drive, drive_key, put_check, put_drive, put_status, same};
use crate::harness::{Cluster, process, soon};

#[tokio::test]
async fn what_was_written_before_the_call_is_seen_in_every_part() {
    let cluster = Cluster::empty().await;
    let consul = &cluster.client;
    let followed = Followed::new(consul);
    let nothing = followed.fresh().await;
    assert!(nothing.tree.is_empty() && nothing.processes.is_empty());
    for round in 0..30_u64 {
        let (state, event, status) = if round.is_multiple_of(2) {
            (HaState::Repair, "STARTED", CheckStatus::Critical)
        } else {
            (HaState::Repaired, "STOPPING", CheckStatus::Passing)
        };
        let key = round % 3;
        put_drive(consul, key, state).await;
        assert_eq!(
            followed.fresh().await.state_of(drive(key)),
            Some(state),
            "round {round}"
        );
        put_status(consul, key, event).await;
        let stored = followed.fresh().await.processes.get(process(key)).unwrap();
        assert_eq!(
            stored.state == ProcessEvent::Started,
            event == "STARTED",
            "round {round}"
        );
        put_check(consul, key, status).await;
        let failing = followed.fresh().await.failing;
        let critical = status == CheckStatus::Critical;
        assert_eq!(
            failing.processes.contains_key(&process(key)),
            critical,
            "round {round}"
        );
        if round % 5 == 4 {
            consul.kv().delete(&drive_key(key)).await.unwrap();
            assert_eq!(followed.fresh().await.state_of(drive(key)), None);
        }
        if round % 10 == 9 {
            consul.kv().delete_prefix("m0conf/").await.unwrap();
            assert!(followed.fresh().await.tree.is_empty());
            consul.kv().delete_prefix("processes/").await.unwrap();
            assert!(followed.fresh().await.processes.is_empty());
        }
    }
}

#[tokio::test]
async fn the_view_learns_by_itself_what_has_changed() {
    let cluster = Cluster::empty().await;
    let followed = Followed::new(&cluster.client);
    followed.fresh().await;
    for state in [HaState::Repair, HaState::Repaired] {
        put_drive(&cluster.client, 1, state).await;
        let told = |view: &hax::cluster::Snapshot| view.state_of(drive(1)) == Some(state);
        followed.wait("the state of a drive", told).await;
    }
    put_status(&cluster.client, 1, "STARTED").await;
    let told = |view: &hax::cluster::Snapshot| view.processes.up_since(process(1)).is_some();
    followed.wait("the status of a process", told).await;
    put_check(&cluster.client, 2, CheckStatus::Critical).await;
    let told = |view: &hax::cluster::Snapshot| view.failing.processes.contains_key(&process(2));
    followed.wait("a critical check", told).await;
}

/// What validation relies on, in the Consul at hand.
#[tokio::test]
async fn indexes_move_with_what_they_stand_for() {
    let cluster = Cluster::empty().await;
    let kv = cluster.client.kv();
    let indexes = async || {
        let keys = kv.keys("m0conf/", Some("/")).await.unwrap().index;
        let list = kv.list("m0conf/").await.unwrap().index;
        assert_eq!(keys, list);
        (kv.get("m0conf/-").await.unwrap().index, keys)
    };
    kv.put("m0conf/a/b", "1").await.unwrap();
    let mut before = indexes().await;
    for step in 0..5 {
        match step {
            0 => kv.put("m0conf/a/b", "2").await.unwrap(),
            1 => kv.put("m0conf/a/c", "2").await.unwrap(),
            2 => kv.delete("m0conf/a/c").await.unwrap(),
            3 => kv.delete_prefix("m0conf/a").await.unwrap(),
            _ => kv.put("elsewhere", "2").await.unwrap(),
        }
        let after = indexes().await;
        assert!(after.0 > before.0, "the store's, step {step}");
        if step < 4 {
            assert!(after.1 > before.1, "the prefix's, step {step}");
        }
        before = after;
    }
}

#[tokio::test]
async fn only_what_has_changed_is_read() {
    let cluster = Cluster::empty().await;
    let consul = &cluster.client;
    put_drive(consul, 1, HaState::Online).await;
    put_status(consul, 1, "STARTED").await;
    put_check(consul, 1, CheckStatus::Critical).await;
    let followed = Followed::new(consul);
    let first = followed.fresh().await;
    assert_eq!(same(&first, &followed.fresh().await), [true; 3]);
    // Neither the tree nor a status, but the index of the store moves.
    consul.kv().put("elsewhere", "x").await.unwrap();
    assert_eq!(same(&first, &followed.fresh().await), [true; 3]);
    put_status(consul, 1, "STOPPING").await;
    let second = followed.fresh().await;
    assert_eq!(same(&first, &second), [true, false, true]);
    put_drive(consul, 1, HaState::Repair).await;
    assert_eq!(same(&second, &followed.fresh().await), [false, true, true]);
}

/// Readers under a writer: each is told at least what was committed before it asked, and the
/// published view never goes back.
#[tokio::test]
async fn many_readers_are_never_told_less_than_was_committed() {
    const READERS: usize = 16;
    const WRITES: u64 = 300;
    let cluster = Cluster::empty().await;
    let consul = cluster.client.clone();
    let followed = Arc::new(Followed::new(&consul));
    let committed = Arc::new(AtomicU64::new(put_status(&consul, 1, "STARTED").await));
    let end = Arc::new(AtomicU64::new(u64::MAX));
    let up_since = |view: &hax::cluster::Snapshot| view.processes.up_since(process(1));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (followed, committed) = (Arc::clone(&followed), Arc::clone(&committed));
        let end = Arc::clone(&end);
        readers.spawn(async move {
            let mut reads = 0_u64;
            loop {
                let before = committed.load(Ordering::SeqCst);
                let told = up_since(&followed.fresh().await).unwrap();
                assert!(told >= before, "{told} is older than {before}");
                reads += 1;
                if before >= end.load(Ordering::SeqCst) {
                    return reads;
                }
            }
        });
    }
    let mut snapshots = followed.view.snapshots();
    let monotonic = tokio::spawn(async move {
        let mut last = 0;
        while snapshots.changed().await.is_ok() {
            let now = up_since(&snapshots.borrow_and_update()).unwrap_or(0);
            assert!(now >= last, "the view went from {last} back to {now}");
            last = now;
        }
    });
    for n in 0..WRITES {
        // Consul takes no notice of a value that is there already.
        let event = ["DTM_RECOVERED", "STARTED"][usize::from(n % 2 == 1)];
        let index = put_status(&consul, 1, event).await;
        committed.store(index, Ordering::SeqCst);
    }
    end.store(committed.load(Ordering::SeqCst), Ordering::SeqCst);
    let mut reads = 0;
    while let Some(reader) = soon("the readers", readers.join_next()).await {
        reads += reader.unwrap();
    }
    drop(followed);
    soon("the view to end", monotonic).await.unwrap();
    eprintln!("{reads} reads under {WRITES} writes");
}

#[tokio::test]
async fn without_consul_there_is_no_fresh_view_but_the_last_known() {
    let cluster = Cluster::empty().await;
    put_drive(&cluster.client, 1, HaState::Repair).await;
    let mut config = Config::new(cluster.consul.address());
    config.request_timeout = std::time::Duration::from_millis(300);
    let consul = consul_client::Client::new(&config).unwrap();
    let followed = Followed::new(&consul);
    followed.fresh().await;
    cluster.consul.freeze();
    let error = soon("a failure", followed.view.fresh()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(followed.view.last_error().is_some());
    let last = followed.view.last().state_of(drive(1));
    assert_eq!(last, Some(HaState::Repair));
    cluster.consul.thaw();
    put_drive(&cluster.client, 1, HaState::Repaired).await;
    let told = followed.fresh_at_last().await.state_of(drive(1));
    assert_eq!(told, Some(HaState::Repaired));
    crate::harness::eventually("the view to be current again", async || {
        followed.view.last_error().is_none().then_some(())
    })
    .await;
}
