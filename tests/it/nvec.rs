//! NVEC GET and NVEC SET.

use consul_client::{CatalogCheck, CheckStatus, Registration};
use halink::{Fid, FidType, HaState};
use hax::sim::client::SimProcess;
use hax::sim::wire::{Body, Msg, NVEC_GET, NVEC_SET, Note};

use crate::harness::{Bridge, Cluster, Instance, Recorder, process, service, soon};

/// Sends a GET with an id and waits for the vector that answers it.
async fn get(sim: &SimProcess, recorder: &Recorder, id: u64, objects: &[Fid]) -> Msg {
    let body = Body::Nvec {
        kind: NVEC_GET,
        id_of_get: id,
        ignore_same_state: 0,
        notes: notes(objects.iter().map(|object| (*object, HaState::Unknown))),
    };
    let delivery = sim.send(sim.draft(Fid::NIL, body)).await.unwrap();
    soon("the GET to be delivered", delivery.wait())
        .await
        .unwrap();
    let answer = |msg: &Msg| match &msg.body {
        Body::Nvec { id_of_get, .. } if *id_of_get == id => Some(msg.clone()),
        _ => None,
    };
    recorder.wait_message("the answer", answer).await
}

fn notes(of: impl IntoIterator<Item = (Fid, HaState)>) -> Vec<Note> {
    let note = |(object, state): (Fid, HaState)| Note {
        object,
        state: state.raw(),
    };
    of.into_iter().map(note).collect()
}

fn set(id_of_get: u64, notes: Vec<Note>) -> Body {
    Body::Nvec {
        kind: NVEC_SET,
        id_of_get,
        ignore_same_state: 1,
        notes,
    }
}

fn drive(key: u64) -> Fid {
    Fid::typed(FidType::Drive, 1, key)
}

fn sdev(key: u64) -> Fid {
    Fid::typed(FidType::Sdev, 1, key)
}

/// Processes 2 to 9 in every situation, one on a lost node, and objects with stored states.
async fn fill(cluster: &Cluster) {
    cluster.fill(8).await;
    cluster.set_check(2, CheckStatus::Critical).await;
    for (key, state, kind) in [
        (3, "STARTED", "M0D"),
        (4, "DTM_RECOVERED", "M0D"),
        (5, "STARTING", "M0D"),
        (6, "STOPPING", "M0D"),
        (7, "STOPPED", "M0D"),
        (8, "STOPPED", "M0MKFS"),
    ] {
        let prefix = "M0_CONF_HA_PROCESS_";
        let status = format!(r#"{{"state":"{prefix}{state}","type":"{prefix}{kind}"}}"#);
        let key = format!("processes/{}", process(key));
        cluster.put(&key, &status).await;
    }
    let node = "m0conf/nodes/0x6e00000000000001:0x0";
    let ios = process(9);
    let value = r#"{"name":"m0_server","state":"M0_NC_REPAIR"}"#;
    cluster.put(&format!("{node}/processes/{ios}"), value).await;
    cluster
        .put(node, r#"{"name":"n","state":"M0_NC_UNKNOWN"}"#)
        .await;
    let drives = "m0conf/sites/s/racks/r/encls/e/ctrls/c/drives";
    let value = format!(r#"{{"sdev":"{}","state":"M0_NC_REBALANCE"}}"#, sdev(1));
    cluster.put(&format!("{drives}/{}", drive(1)), &value).await;
    cluster.add_process("lost", 40, ["rms", "ios"]).await;
    let mut lost = Registration::new("lost", "127.0.0.1");
    lost.check = Some(CatalogCheck {
        check_id: "serfHealth".to_owned(),
        name: "Serf Health Status".to_owned(),
        status: CheckStatus::Critical,
        output: String::new(),
        service_id: String::new(),
    });
    cluster.client.catalog().register(&lost).await.unwrap();
    cluster.register_on("lost", Instance::new(40, "ios")).await;
}

#[tokio::test]
async fn a_get_is_answered_with_the_state_of_every_object_in_order() {
    let cluster = Cluster::empty().await;
    fill(&cluster).await;
    let bridge = Bridge::start(&cluster).await;
    let (sim, recorder) = bridge.recorded(3).await;
    let mut expected = vec![
        (drive(1), HaState::Rebalance),
        (sdev(1), HaState::Rebalance),
        (Fid::typed(FidType::Node, 1, 0), HaState::Online),
        (drive(99), HaState::Online),
        (process(0), HaState::Online),
        (process(40), HaState::Failed),
        (service(81), HaState::Failed),
    ];
    for (key, state) in [
        (9, HaState::Repair),
        (8, HaState::Online),
        (7, HaState::Failed),
        (6, HaState::Online),
        (5, HaState::Online),
        (4, HaState::Online),
        (3, HaState::Online),
        (2, HaState::Failed),
        (1, HaState::Online),
    ] {
        expected.push((service(2 * key + 1), state));
        expected.push((process(key), state));
    }
    // An object asked twice is told twice.
    expected.push((process(2), HaState::Failed));
    let objects: Vec<Fid> = expected.iter().map(|(object, _)| *object).collect();
    let answer = get(&sim, &recorder, 4_711, &objects).await;
    assert_eq!(answer.body, set(4_711, notes(expected)));
    bridge.wait_counter("nvec_gets", 1).await;
}

#[tokio::test]
async fn a_get_of_1024_unknown_objects_or_of_none_is_answered_completely() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let (sim, recorder) = bridge.recorded(2).await;
    // Neither ascending nor descending.
    let objects: Vec<Fid> = (0..1_024_u64)
        .map(|n| drive(1_000 + n * 389 % 1_024))
        .collect();
    let answer = get(&sim, &recorder, 1, &objects).await;
    let online = objects.iter().map(|object| (*object, HaState::Online));
    assert_eq!(answer.body, set(1, notes(online)));

    let answer = get(&sim, &recorder, 2, &[]).await;
    assert_eq!(answer.body, set(2, Vec::new()));
    let sets = recorder.messages().len();
    assert_eq!(sets, 2, "one SET for each GET: {:?}", recorder.messages());
}

#[tokio::test]
async fn a_set_of_motr_is_broadcast_as_hare_maps_it() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let (sender, _) = bridge.recorded(2).await;
    let (_other, heard) = bridge.recorded(3).await;
    let told = notes([
        (sdev(1), HaState::Online),
        (sdev(2), HaState::Repaired),
        (sdev(3), HaState::Repair),
        (sdev(4), HaState::Rebalance),
        (sdev(5), HaState::Unknown),
        (sdev(6), HaState::Failed),
        (sdev(7), HaState::Transient),
        (sdev(8), HaState::DtmRecovering),
    ]);
    let dropped = told[4..].to_vec();
    let delivery = sender.nvec_set(told).await.unwrap();
    soon("the SET to be delivered", delivery.wait())
        .await
        .unwrap();
    let expected = notes([
        (sdev(1), HaState::Online),
        (sdev(2), HaState::Repaired),
        (sdev(3), HaState::Failed),
        (sdev(4), HaState::Repaired),
    ]);
    heard
        .wait_message("the broadcast", |msg| {
            (msg.body == set(0, expected.clone())).then_some(())
        })
        .await;
    bridge.wait_counter("nvec_sets", 1).await;
    let broadcasts = bridge.counter("broadcasts").await;

    let delivery = sender.nvec_set(dropped).await.unwrap();
    soon("the SET to be delivered", delivery.wait())
        .await
        .unwrap();
    assert_eq!(bridge.counter("nvec_sets").await, 1);
    assert_eq!(bridge.counter("broadcasts").await, broadcasts);
    assert_eq!(heard.messages().len(), 1);
}
