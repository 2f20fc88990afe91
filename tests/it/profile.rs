//! Profile `hare`: the states under `m0conf/`, what is broadcast of an event, and NVEC GET.

use std::collections::HashMap;

use consul_client::{CatalogCheck, CheckStatus, Index, Registration};
use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};
use hax::sim::client::SimProcess;
use hax::sim::wire::{Body, ConfEvent};

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
    let settings = Settings::default()
        .with("ha.profile", "'hare'")
        .with("node.name", "'ssu1'")
        .with("leader.elect", "false")
        .until(Until::Running);
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

#[tokio::test]
async fn a_life_cycle_writes_and_tells_what_hare_does_each_event_in_one_transaction() {
    let (cluster, bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let confd = bridge.sim(CONFD).await;
    let ios = bridge.sim(IOS).await;
    let own = format!("processes/{}", process(0));
    let mut before = all(&cluster).await;
    assert_eq!(before[&own].0, status("DTM_RECOVERED", "HA"));

    report(&confd, ProcessEvent::Starting, ProcessType::M0d).await;
    let after = all(&cluster).await;
    assert_eq!(
        written(&before, &after).len(),
        2,
        "the status and its alias"
    );
    assert_eq!(heard.notes(), []);
    before = after;

    report(&confd, ProcessEvent::Started, ProcessType::M0d).await;
    let after = all(&cluster).await;
    let changed = written(&before, &after);
    let key = |object: Fid| object.to_string();
    assert_eq!(
        changed[&format!("processes/{}", process(CONFD))],
        status("DTM_RECOVERED", "M0D")
    );
    assert_eq!(
        changed[&key(process(CONFD))],
        r#"{"name": "m0_server", "state": "online"}"#
    );
    assert_eq!(
        changed[&key(service(3))],
        r#"{"name": "confd", "state": "online"}"#
    );
    assert_eq!(
        changed[&key(fid(FidType::Node, 0))],
        r#"{"name": "ssu1", "state": "M0_NC_ONLINE"}"#
    );
    assert_eq!(
        changed.len(),
        7,
        "two statuses, process, two services, node, enclosure"
    );
    let objects = [
        process(CONFD),
        service(2),
        service(3),
        fid(FidType::Node, 0),
        fid(FidType::Enclosure, 0),
    ];
    assert_eq!(
        told(&heard, 5, 0).await,
        objects.map(|object| (object, HaState::Online))
    );
    before = after;

    let mut notes = 5;
    for (event, name, word, drives, around, state, of_drives) in [
        (
            ProcessEvent::Started,
            "STARTED",
            "dtm_recovering",
            "dtm_recovering",
            "M0_NC_DTM_RECOVERING",
            HaState::DtmRecovering,
            HaState::Online,
        ),
        (
            ProcessEvent::DtmRecovered,
            "DTM_RECOVERED",
            "online",
            "online",
            "M0_NC_ONLINE",
            HaState::Online,
            HaState::Online,
        ),
        (
            ProcessEvent::Stopped,
            "STOPPED",
            "failed",
            "offline",
            "M0_NC_FAILED",
            HaState::Failed,
            HaState::Transient,
        ),
    ] {
        report(&ios, event, ProcessType::M0d).await;
        let after = all(&cluster).await;
        assert_eq!(
            written(&before, &after),
            of_ios(name, word, drives, around),
            "{event}"
        );
        assert_eq!(
            told(&heard, 22, notes).await,
            notes_of_ios(state, of_drives),
            "{event}"
        );
        notes += 22;
        before = after;
    }
    // The link of a process that has stopped is dropped, and of no other.
    bridge.wait_links(&[CONFD, CLIENT]).await;
}

#[tokio::test]
async fn m0mkfs_changes_and_tells_nothing_but_its_status() {
    let (cluster, bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let ios = bridge.sim(IOS).await;
    for (event, name) in [
        (ProcessEvent::Started, "STARTED"),
        (ProcessEvent::Stopped, "STOPPED"),
    ] {
        let before = all(&cluster).await;
        report(&ios, event, ProcessType::M0mkfs).await;
        let changed = written(&before, &all(&cluster).await);
        assert_eq!(changed.len(), 2);
        assert_eq!(
            changed[&format!("processes/{}", process(IOS))],
            status(name, "M0MKFS")
        );
    }
    bridge.wait_links(&[CLIENT]).await;
    assert_eq!(heard.notes(), []);
}

#[tokio::test]
async fn what_is_broken_in_the_tree_and_strangers_to_it_hold_nothing_up() {
    let (cluster, bridge) = start().await;
    let before = all(&cluster).await;
    let full = |object: Fid| {
        let end = format!("/{object}");
        before
            .keys()
            .find(|key| key.starts_with("m0conf/") && key.ends_with(&end))
            .unwrap()
    };
    cluster.put(full(fid(FidType::Sdev, 1)), "rubbish").await;
    let gone = full(fid(FidType::Controller, 0));
    cluster.client.kv().delete(gone).await.unwrap();
    let repaired = r#"{"path": "/dev/vdd", "state": "repaired", "more": [1, {"state": 2}]}"#;
    cluster.put(full(fid(FidType::Sdev, 2)), repaired).await;
    let node = r#"{ "uuid":"7", "state":"M0_NC_UNKNOWN", "name":"ssu1" }"#;
    cluster.put(full(fid(FidType::Node, 0)), node).await;

    let ios = bridge.sim(IOS).await;
    let stranger = ConfEvent {
        event: ProcessEvent::Started.raw(),
        kind: ProcessType::M0d.raw(),
        pid: 1,
    };
    let sent = ios
        .send(ios.draft(process(999), Body::Process(stranger)))
        .await;
    soon("the stranger's event", sent.unwrap().wait())
        .await
        .unwrap();
    report(&ios, ProcessEvent::Started, ProcessType::M0d).await;
    let after = all(&cluster).await;
    assert_eq!(after[full(fid(FidType::Sdev, 1))].0, "rubbish");
    assert_eq!(after[full(fid(FidType::Sdev, 2))].0, repaired);
    assert_eq!(
        after[full(fid(FidType::Node, 0))].0,
        r#"{ "uuid":"7", "state":"M0_NC_DTM_RECOVERING", "name":"ssu1" }"#
    );
    assert!(
        after[full(fid(FidType::Sdev, 3))]
            .0
            .contains("dtm_recovering")
    );
    assert!(!after.contains_key(gone), "what is gone is not made again");
    assert!(cluster.stored(999).await.unwrap().contains("STARTED"));
    assert_eq!(bridge.counter("final_errors").await, 0);
}

#[tokio::test]
async fn an_event_of_many_drives_has_its_status_in_the_last_transaction() {
    let (cluster, bridge) = start().await;
    let before = all(&cluster).await;
    let parent = |object: Fid| {
        let end = format!("/{object}");
        before
            .keys()
            .find(|key| key.starts_with("m0conf/") && key.ends_with(&end))
            .unwrap()
    };
    let (service, controller) = (parent(service(5)), parent(fid(FidType::Controller, 0)));
    for key in 100..255 {
        let (sdev, drive) = (fid(FidType::Sdev, key), fid(FidType::Drive, key));
        let value = r#"{"path": "/dev/x", "state": "M0_NC_UNKNOWN"}"#;
        cluster.put(&format!("{service}/sdevs/{sdev}"), value).await;
        let value = format!(r#"{{"sdev": "{sdev}", "state": "M0_NC_UNKNOWN"}}"#);
        cluster
            .put(&format!("{controller}/drives/{drive}"), &value)
            .await;
    }
    bridge
        .wait_status("the view with all drives", |status| {
            status["consul"]["objects"].as_u64().unwrap() >= 130 + 2 * 155
        })
        .await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let ios = bridge.sim(IOS).await;
    report(&ios, ProcessEvent::Started, ProcessType::M0d).await;
    let after = all(&cluster).await;
    let status = after[&format!("processes/{}", process(IOS))].1;
    let sdevs = after.iter().filter(|(key, _)| key.contains("/sdevs/"));
    let mut indices = Vec::new();
    for (key, (value, index)) in sdevs.filter(|(key, _)| key.starts_with(service)) {
        assert!(value.contains("\"dtm_recovering\""), "{key} {value}");
        assert!(*index <= status, "{key} was written after the status");
        indices.push(*index);
    }
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), 3, "transactions");
    assert_eq!(after[parent(process(IOS))].1, status);
    assert_eq!(after[controller].1, status);
    let notes = told(&heard, 22 + 155, 0).await;
    assert_eq!(
        notes.last(),
        Some(&(fid(FidType::Enclosure, 0), HaState::DtmRecovering))
    );
}

#[tokio::test]
async fn nvec_get_is_answered_as_hare_does() {
    let (cluster, bridge) = start().await;
    let (confd, ios) = (bridge.sim(CONFD).await, bridge.sim(IOS).await);
    let sdev = before_key(&cluster, fid(FidType::Sdev, 1)).await;
    let ask = async |object: Fid| {
        let answer = soon("an answer", ios.nvec_get(&[object])).await.unwrap();
        assert_eq!(answer[0].object, object);
        HaState::from_raw(answer[0].state).unwrap()
    };
    assert_eq!(ask(process(IOS)).await, HaState::Transient);
    assert_eq!(ask(fid(FidType::Node, 0)).await, HaState::Transient);
    assert_eq!(ask(fid(FidType::Drive, 1)).await, HaState::Online);
    report(&confd, ProcessEvent::Started, ProcessType::M0d).await;
    report(&ios, ProcessEvent::Started, ProcessType::M0d).await;
    assert_eq!(ask(process(CONFD)).await, HaState::Online);
    assert_eq!(ask(process(IOS)).await, HaState::DtmRecovering);
    assert_eq!(ask(service(5)).await, HaState::DtmRecovering);
    assert_eq!(ask(fid(FidType::Node, 0)).await, HaState::DtmRecovering);
    assert_eq!(ask(fid(FidType::Drive, 1)).await, HaState::Online);
    report(&ios, ProcessEvent::DtmRecovered, ProcessType::M0d).await;
    assert_eq!(ask(service(5)).await, HaState::Online);
    assert_eq!(ask(fid(FidType::Node, 0)).await, HaState::Online);
    cluster
        .put(&sdev, r#"{"path": "/dev/vdc", "state": "repairing"}"#)
        .await;
    assert_eq!(ask(fid(FidType::Drive, 1)).await, HaState::Repair);
    let failing = Instance::new(IOS, "ios").with_status(CheckStatus::Warning);
    cluster.register_on("ssu1", failing).await;
    assert_eq!(ask(process(IOS)).await, HaState::Transient);
    assert_eq!(ask(process(CONFD)).await, HaState::Online);
    serf_health(&cluster, CheckStatus::Critical).await;
    assert_eq!(ask(process(CONFD)).await, HaState::Transient);
    assert_eq!(ask(process(0)).await, HaState::Online);
    assert_eq!(ask(process(999)).await, HaState::Online);
}

async fn before_key(cluster: &Cluster, object: Fid) -> String {
    let end = format!("/{object}");
    let all = all(cluster).await;
    let key = all.keys().find(|key| key.ends_with(&end)).unwrap();
    key.clone()
}

#[tokio::test]
async fn what_a_bridge_of_another_node_writes_is_told_here() {
    let (cluster, bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    bridge.wait_known(0, "DTM_RECOVERED").await;
    // Process 7 is the ios of ssu2.
    let key = format!("processes/{}", process(7));
    for (event, state) in [
        ("STARTING", None),
        ("STARTED", Some(HaState::DtmRecovering)),
        ("DTM_RECOVERED", Some(HaState::Online)),
        ("STOPPED", Some(HaState::Failed)),
    ] {
        let before = (heard.notes().len(), all(&cluster).await);
        cluster.put(&key, &status(event, "M0D")).await;
        bridge.wait_known(7, event).await;
        if let Some(state) = state {
            let notes = told(&heard, 22, before.0).await;
            assert_eq!(notes[0], (process(7), state));
            assert_eq!(notes[21], (fid(FidType::Enclosure, 1), state));
        }
        let changed = written(&before.1, &all(&cluster).await);
        assert_eq!(
            changed.len(),
            1,
            "whose bridge has written it keeps the states"
        );
    }
}

#[tokio::test]
async fn a_check_that_does_not_pass_makes_a_process_offline_once() {
    let (cluster, bridge) = start().await;
    let (_listener, heard) = bridge.recorded(CLIENT).await;
    let ios = bridge.sim(IOS).await;
    let post = async || {
        let payload = cluster.service_payload("ios").await;
        let (code, outcome) = bridge.post("/", payload).await;
        assert_eq!(code, 200, "{outcome}");
        outcome["notes"].as_u64().unwrap()
    };
    let failing = Instance::new(IOS, "ios").with_status(CheckStatus::Warning);
    cluster.register_on("ssu1", failing).await;
    assert_eq!(post().await, 0, "its type is not known");
    report(&ios, ProcessEvent::Started, ProcessType::M0mkfs).await;
    assert_eq!(post().await, 0, "m0mkfs");
    report(&ios, ProcessEvent::DtmRecovered, ProcessType::M0d).await;
    let before = (heard.notes().len(), all(&cluster).await);
    assert_eq!(post().await, 22);
    let changed = written(&before.1, &all(&cluster).await);
    assert_eq!(
        changed,
        of_ios("STOPPED", "offline", "offline", "M0_NC_TRANSIENT")
    );
    let notes = told(&heard, 22, before.0).await;
    assert_eq!(notes, notes_of_ios(HaState::Transient, HaState::Transient));
    assert_eq!(post().await, 0, "it is said to have stopped");
    // It was not dead after all, and keeps its link.
    report(&ios, ProcessEvent::DtmRecovered, ProcessType::M0d).await;
    cluster.register_on("ssu1", Instance::new(IOS, "ios")).await;
    assert_eq!(post().await, 0, "a check that passes says nothing");
    bridge.wait_links(&[IOS, CLIENT]).await;
}
