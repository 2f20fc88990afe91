//! What the view costs. Times are of this machine and load; the ratios are what counts.
//!
//! ```text
//! cargo test --release --test it view::measure -- --ignored --nocapture --test-threads 1
//! ```
//!
//! `HAX_TEST_TREE` names a file for `haxctl kv load` to be measured as well.

use std::time::Duration;

use consul_client::{Client, ReadOptions, TxnOp};
use halink::HaState;
use hax::cluster::synthetic;
use tokio::time::Instant;

use super::{Followed, put_drive, put_status};
use crate::ctl::{expect, haxctl};
use crate::harness::{Bridge, Cluster, Settings, Until, eventually};

async fn load(consul: &Client, objects: usize) {
    let pairs = synthetic::tree(objects);
    for some in pairs.chunks(consul_client::TXN_MAX_OPS) {
        let ops: Vec<TxnOp> = some
            .iter()
            .map(|(key, value)| TxnOp::set(key.as_str(), value.as_str()))
            .collect();
        consul.txn().commit(&ops).await.unwrap();
    }
}

/// Median and 99th percentile of the time that `call` takes.
async fn timed(times: usize, mut call: impl AsyncFnMut(usize)) -> [Duration; 2] {
    let mut taken = Vec::with_capacity(times);
    for n in 0..times {
        let begin = Instant::now();
        call(n).await;
        taken.push(begin.elapsed());
    }
    taken.sort_unstable();
    [taken[times / 2], taken[times * 99 / 100]]
}

fn row(what: &str, [p50, p99]: [Duration; 2], raw: Duration) {
    let ratio = p50.as_secs_f64() / raw.as_secs_f64();
    eprintln!("{what:<44} p50 {p50:>10.2?}  p99 {p99:>10.2?}  {ratio:>7.2} of raw");
}

fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        format!("{name} {:.1} MiB", kib as f64 / 1_024.0)
    };
    format!("{}, {}", of("VmRSS:"), of("VmHWM:"))
}

/// CPU time of a process.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn measure(name: &str, cluster: &Cluster) {
    let consul = &cluster.client;
    put_drive(consul, 0, HaState::Online).await;
    put_status(consul, 1, "STARTED").await;
    let read = consul.kv().with(ReadOptions::consistent());
    let [list, _] = timed(5, async |_| drop(read.listing("m0conf/").await.unwrap())).await;
    let [get, _] = timed(300, async |_| drop(read.get("leader").await.unwrap())).await;
    let keys = async |_| drop(read.keys("m0conf/", Some("/")).await.unwrap());
    let [keys, _] = timed(20, keys).await;
    eprintln!("--- {name}; raw: GET {get:.2?}, index of m0conf/ {keys:.2?}, list {list:.2?}");
    let begin = Instant::now();
    let followed = Followed::new(consul);
    let objects = followed.fresh().await.tree.len();
    let took = begin.elapsed();
    row(&format!("first view of {objects} objects"), [took; 2], list);
    let idle = timed(1_000, async |_| drop(followed.fresh().await)).await;
    row("fresh, nothing changed (raw: GET)", idle, get);
    // Each of these includes the write, which takes two round trips.
    let events = ["STARTED", "STOPPING"];
    let status = async |n: usize| {
        put_status(consul, 1, events[n % 2]).await;
        followed.fresh().await;
    };
    let written = timed(
        if list > Duration::from_millis(100) {
            20
        } else {
            300
        },
        status,
    )
    .await;
    row(
        "status written, fresh (raw: index + 4 GET)",
        written,
        keys + 4 * get,
    );
    let states = [HaState::Repair, HaState::Repaired];
    let tree = async |n: usize| {
        put_drive(consul, 0, states[n % 2]).await;
        followed.fresh().await;
    };
    let changed = timed(6, tree).await;
    row("tree changed, fresh (raw: list)", changed, list);
    let together = async |_| {
        let all = (0..100).map(|_| followed.fresh());
        futures_util::future::join_all(all).await;
    };
    let together = timed(20, together).await;
    row("100 fresh at once (raw: GET)", together, get);
    drop(followed);

    let begin = Instant::now();
    let settings = Settings::default().until(Until::Listening);
    let bridge = Bridge::start_with(cluster, settings).await;
    bridge
        .wait_status("the whole tree", |status| {
            status["consul"]["objects"] == objects
        })
        .await;
    let took = begin.elapsed();
    eprintln!(
        "hax run to its first view {took:.2?}; {}",
        memory(bridge.pid())
    );
    for n in 0..6 {
        let index = async || {
            let status = bridge.status().await;
            status["consul"]["view"][0]["index"].as_u64().unwrap()
        };
        let before = index().await;
        put_drive(consul, 0, states[n % 2]).await;
        eventually("the change", async || {
            (index().await > before).then_some(())
        })
        .await;
    }
    eprintln!("after 6 changes of the tree: {}", memory(bridge.pid()));
    let before = cpu(bridge.pid());
    let idle = Duration::from_secs(10);
    tokio::time::sleep(idle).await;
    let busy = cpu(bridge.pid()) - before;
    let share = 100.0 * busy.as_secs_f64() / idle.as_secs_f64();
    eprintln!(
        "idle for {idle:?}: {share:.1} % CPU; {}",
        memory(bridge.pid())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn the_cost_of_the_view() {
    for objects in [1_000, 100_000] {
        let cluster = Cluster::empty().await;
        load(&cluster.client, objects).await;
        measure(&format!("{objects} objects"), &cluster).await;
    }
    if let Ok(tree) = std::env::var("HAX_TEST_TREE") {
        let cluster = Cluster::empty().await;
        let address = cluster.consul.address();
        let loaded = haxctl(&["kv", "load", &tree, "--consul", &address]).await;
        expect(&loaded, 0);
        measure(&tree, &cluster).await;
    }
}
