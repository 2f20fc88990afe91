//! A bridge that serves a real configuration tree: 3 nodes, 15 processes, 130 objects.

use std::collections::BTreeSet;

use halink::{Fid, HaState};

use crate::ctl::{expect, haxctl};
use crate::harness::{Bridge, Cluster, Instance, process, service, soon};

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kv-small.json");

/// The objects named by the keys of a list of pairs.
fn objects() -> Vec<Fid> {
    let pairs: serde_json::Value = serde_json::from_slice(&std::fs::read(TREE).unwrap()).unwrap();
    let keys = pairs.as_array().unwrap().iter();
    let last = keys.filter_map(|pair| pair["key"].as_str()?.rsplit('/').next()?.parse().ok());
    let objects: BTreeSet<Fid> = last.collect();
    objects.into_iter().collect()
}

#[tokio::test]
async fn every_object_of_a_real_tree_is_known_and_its_confds_are_served() {
    let cluster = Cluster::empty().await;
    let address = cluster.consul.address();
    expect(
        &haxctl(&["kv", "load", TREE, "--consul", &address]).await,
        0,
    );
    for (node, key) in [("ssu1", 1), ("ssu2", 6), ("ssu3", 11)] {
        cluster.register_on(node, Instance::new(key, "confd")).await;
    }
    cluster.lead("ssu2").await;
    let bridge = Bridge::start(&cluster).await;
    let sim = bridge.sim(2).await;

    let reply = soon("an entrypoint", sim.entrypoint_once()).await.unwrap();
    assert_eq!(reply.quorum, 2);
    let mut confds: Vec<Fid> = reply.confds.iter().map(|confd| confd.fid).collect();
    confds.sort_unstable();
    assert_eq!(confds, [service(3), service(27), service(51)]);
    assert_eq!(reply.rm, service(26), "the RM of the confd on ssu2");

    let objects = objects();
    assert_eq!(objects.len(), 130);
    let answer = soon("a GET of every object", sim.nvec_get(&objects))
        .await
        .unwrap();
    let told: Vec<Fid> = answer.iter().map(|note| note.object).collect();
    assert_eq!(told, objects);
    let online = HaState::Online.raw();
    assert!(answer.iter().all(|note| note.state == online), "{answer:?}");
    assert!(
        !bridge.log().contains("nothing is known"),
        "every object is in the tree"
    );

    // Not so one that is in no tree.
    soon("a GET of a stranger", sim.nvec_get(&[process(99)]))
        .await
        .unwrap();
    bridge.wait_log("nothing is known of these objects").await;
}
