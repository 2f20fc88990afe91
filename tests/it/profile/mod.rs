//! Profile `hare`: the states under `m0conf/`, what is broadcast of an event, and NVEC GET.

mod events;
mod fences;
mod nvec;
mod peers;
mod tree;

use std::collections::HashMap;

use consul_client::{CatalogCheck, CheckStatus, Index, Registration};
use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};
use hax::sim::client::SimProcess;

use crate::ctl::{expect, haxctl};
use crate::harness::{
    Bridge, Cluster, Instance, Recorder, Settings, Until, process, service, soon,
};

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kv-small.json");
const CONFD: u64 = 1;
const IOS: u64 = 2;
const CLIENT: u64 = 3;

fn fid(fid_type: FidType, key: u64) -> Fid {
    Fid::typed(fid_type, 1, key)
}

/// A real tree, and a bridge for its first node in profile `hare`.
async fn start() -> (Cluster, Bridge) {
    start_with(settings(Settings::default())).await
}

/// These, of the first node in profile `hare`.
fn settings(more: Settings) -> Settings {
    more.with("ha.profile", "'hare'")
        .with("node.name", "'ssu1'")
        .with("leader.elect", "false")
        .until(Until::Running)
}

/// The same with these settings.
async fn start_with(settings: Settings) -> (Cluster, Bridge) {
    let cluster = Cluster::empty().await;
    let address = cluster.consul.address();
    let loaded = haxctl(&["kv", "load", TREE, "--consul", &address]).await;
    expect(&loaded, 0);
    cluster
        .register_on("ssu1", Instance::new(CONFD, "confd"))
        .await;
    cluster.register_on("ssu1", Instance::new(IOS, "ios")).await;
    serf_health(&cluster, CheckStatus::Passing).await;
    cluster.lead("ssu1").await;
    let bridge = Bridge::start_with(&cluster, settings).await;
    cluster.wait_stored(0, "DTM_RECOVERED").await;
    (cluster, bridge)
}

async fn serf_health(cluster: &Cluster, status: CheckStatus) {
    let mut node = Registration::new("ssu1", "127.0.0.1");
    node.check = Some(CatalogCheck {
        check_id: "serfHealth".to_owned(),
        name: "Serf Health Status".to_owned(),
        status,
        output: String::new(),
        service_id: String::new(),
    });
    cluster.client.catalog().register(&node).await.unwrap();
}

async fn report(sim: &SimProcess, event: ProcessEvent, kind: ProcessType) {
    let delivery = sim.process_event(event, kind).await.unwrap();
    let delivered = soon("the event to be delivered", delivery.wait()).await;
    delivered.unwrap();
}

/// Every value under `m0conf/` and of statuses, with its index.
async fn all(cluster: &Cluster) -> HashMap<String, (String, Index)> {
    let kv = cluster.client.kv();
    let mut pairs = kv.list("m0conf/").await.unwrap().value;
    pairs.extend(kv.list("process").await.unwrap().value);
    let entry = |pair: consul_client::KvPair| {
        let text = pair.text().unwrap().to_owned();
        (pair.key.clone(), (text, pair.modify_index))
    };
    pairs.into_iter().map(entry).collect()
}

/// What was written between two readings: values by the last part of their keys. All of it has one
/// index, that is, it was one transaction.
fn written(
    before: &HashMap<String, (String, Index)>,
    after: &HashMap<String, (String, Index)>,
) -> HashMap<String, String> {
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value));
    let changed: Vec<_> = changed.collect();
    let index = changed[0].1.1;
    assert!(
        changed.iter().all(|(_, (_, other))| *other == index),
        "{changed:#?}"
    );
    changed
        .into_iter()
        .map(|(key, (value, _))| {
            let key = match key.strip_prefix("m0conf/") {
                Some(key) => key.rsplit('/').next().unwrap(),
                None => key,
            };
            (key.to_owned(), value.clone())
        })
        .collect()
}

fn status(event: &str, kind: &str) -> String {
    let prefix = "M0_CONF_HA_PROCESS_";
    format!(r#"{{"state":"{prefix}{event}","type":"{prefix}{kind}"}}"#)
}

/// Everything that was told since, as one message.
async fn told(heard: &Recorder, count: usize, before: usize) -> Vec<(Fid, HaState)> {
    let notes = heard
        .wait(&format!("{count} notes"), |_| {
            let notes = heard.notes().split_off(before);
            (notes.len() >= count).then_some(notes)
        })
        .await;
    assert_eq!(notes.len(), count);
    let pair = |note: hax::sim::wire::Note| (note.object, HaState::from_raw(note.state).unwrap());
    notes.into_iter().map(pair).collect()
}

const SERVICES: std::ops::RangeInclusive<u64> = 4..=15;
const DEVICES: [u64; 6] = [0, 1, 2, 3, 4, 15];

/// What is written and told of an ios: its status, its own word, the drives' word, the name of what
/// is around it.
fn of_ios(event: &str, word: &str, drives: &str, around: &str) -> HashMap<String, String> {
    let mut expected = HashMap::new();
    for prefix in ["processes", "process"] {
        expected.insert(format!("{prefix}/{}", process(IOS)), status(event, "M0D"));
    }
    let mut add = |object: Fid, member: &str, value: &str, state: &str| {
        let text = match member {
            "" => format!(r#"{{"state": "{state}"}}"#),
            _ => format!(r#"{{"{member}": "{value}", "state": "{state}"}}"#),
        };
        expected.insert(object.to_string(), text);
    };
    add(process(IOS), "name", "m0_server", word);
    let names = [
        "rms", "ios", "sns_rep", "sns_reb", "dix_rep", "dix_reb", "addb2", "cas", "iscs", "fdmi",
        "fis", "dtm0",
    ];
    for (key, name) in SERVICES.zip(names) {
        add(service(key), "name", name, word);
    }
    let paths = ["vdb", "vdc", "vdd", "vde", "vdf", "null"];
    for (key, path) in DEVICES.iter().zip(paths) {
        add(
            fid(FidType::Sdev, *key),
            "path",
            &format!("/dev/{path}"),
            drives,
        );
    }
    add(fid(FidType::Controller, 0), "", "", around);
    add(fid(FidType::Node, 0), "name", "ssu1", around);
    let node = fid(FidType::Node, 0).to_string();
    add(fid(FidType::Enclosure, 0), "node", &node, around);
    expected
}

fn notes_of_ios(state: HaState, drives: HaState) -> Vec<(Fid, HaState)> {
    let own = [process(IOS)].into_iter().chain(SERVICES.map(service));
    let drives = DEVICES.map(|key| (fid(FidType::Drive, key), drives));
    let around = [FidType::Controller, FidType::Node, FidType::Enclosure];
    own.map(|object| (object, state))
        .chain(drives)
        .chain(around.map(|fid_type| (fid(fid_type, 0), state)))
        .collect()
}
