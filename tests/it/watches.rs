//! What Consul's watches post, as Motr is told it.

use consul_client::CheckStatus;
use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};
use hax::sim::client::{End, SimProcess};
use serde_json::{Value, json};

use crate::harness::{
    Bridge, Cluster, Instance, Recorder, Settings, free_ports, process, service, soon,
};

const SAMPLE: &str = include_str!("../data/watch-service-sample.json");

/// A process that has started, as m0d does.
async fn started(bridge: &Bridge, key: u64) -> (SimProcess, Recorder) {
    let (sim, heard) = bridge.recorded(key).await;
    for event in [ProcessEvent::Starting, ProcessEvent::Started] {
        let delivery = sim.process_event(event, ProcessType::M0d).await.unwrap();
        soon("the event to be delivered", delivery.wait())
            .await
            .unwrap();
    }
    bridge.wait_known(key, "STARTED").await;
    (sim, heard)
}

/// Posts and checks what is told of the outcome.
async fn post(bridge: &Bridge, path: &str, body: String, expected: Value) {
    let (code, outcome) = bridge.post(path, body).await;
    assert_eq!((code, &outcome), (200, &expected), "{path}");
}

async fn told(sim: &SimProcess, object: Fid, state: HaState) {
    soon(&format!("{object} {state}"), sim.wait_state(object, state))
        .await
        .unwrap();
}

/// Notes heard so far, as pairs.
fn heard_pairs(heard: &Recorder) -> Vec<(Fid, HaState)> {
    let notes = heard.notes().into_iter();
    let pair = notes.map(|note| (note.object, HaState::from_raw(note.state).unwrap()));
    pair.collect()
}

#[tokio::test]
async fn the_sample_of_5_hax_is_broadcast_to_every_process() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let (first, heard) = bridge.recorded(2).await;
    let (second, _) = bridge.recorded(3).await;
    let outcome = json!({ "notes": 1, "links": 2, "ignored": 0 });
    post(&bridge, "/", SAMPLE.to_owned(), outcome).await;
    for sim in [&first, &second] {
        told(sim, process(4), HaState::Online).await;
    }
    assert_eq!(heard_pairs(&heard), [(process(4), HaState::Online)]);
    // Every message is acknowledged: two links, and nothing of a process goes to the self link.
    bridge.wait_counter("broadcast_messages", 2).await;
    bridge.wait_counter("delivered", 2).await;
}

#[tokio::test]
async fn the_health_of_a_service_is_told_of_its_process_and_services() {
    let cluster = Cluster::small(3).await;
    let bridge = Bridge::start(&cluster).await;
    let (sim, heard) = started(&bridge, 3).await;
    for (status, state) in [
        (CheckStatus::Warning, HaState::Transient),
        (CheckStatus::Critical, HaState::Failed),
        (CheckStatus::Passing, HaState::Online),
    ] {
        let before = heard.notes().len();
        cluster.set_check(2, status).await;
        let payload = cluster.service_payload("ios").await;
        let outcome = json!({ "notes": 9, "links": 1, "ignored": 0 });
        post(&bridge, "/watch/service", payload, outcome).await;
        heard
            .wait("nine notes", |_| {
                (heard.notes().len() == before + 9).then_some(())
            })
            .await;
        let of = |key, state| {
            [process(key), service(2 * key), service(2 * key + 1)].map(|object| (object, state))
        };
        let mut pairs = heard_pairs(&heard).split_off(before);
        let mut expected = [of(2, state), of(3, HaState::Online), of(4, HaState::Online)].concat();
        pairs.sort_unstable();
        expected.sort_unstable();
        assert_eq!(pairs, expected, "{status:?}");
    }
    assert_eq!(sim.state().borrow().closes, 0);
}

#[tokio::test]
async fn processes_are_named_by_fid_or_by_decimal_key() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let (sim, _) = bridge.recorded(2).await;
    for (key, id) in [
        (50, process(50).to_string()),
        (51, "51".to_owned()),
        (52, "0x7200000000000001:0x0034".to_owned()),
        (53, "7200000000000001:35".to_owned()),
    ] {
        let instance = Instance {
            id,
            ..Instance::new(key, "named").with_status(CheckStatus::Critical)
        };
        cluster.register(instance).await;
    }
    let payload = cluster.service_payload("named").await;
    let outcome = json!({ "notes": 4, "links": 1, "ignored": 0 });
    post(&bridge, "/watch/service", payload, outcome).await;
    for key in 50..=53 {
        told(&sim, process(key), HaState::Failed).await;
    }
}

#[tokio::test]
async fn checks_fail_processes_and_a_lost_node_fails_all_of_its_own() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let (survivor, heard) = bridge.recorded(40).await;
    let (victim, _) = started(&bridge, 3).await;
    cluster.set_check(2, CheckStatus::Warning).await;
    let payload = cluster.payload("/v1/health/state/any").await;
    // hax 3 notes, confd 3, ios 3 each; serfHealth passes and says nothing.
    let outcome = json!({ "notes": 12, "links": 2, "ignored": 0 });
    post(&bridge, "/watch/checks", payload.clone(), outcome).await;
    told(&survivor, process(2), HaState::Transient).await;
    told(&survivor, process(3), HaState::Online).await;
    told(&survivor, process(0), HaState::Online).await;

    let mut checks: Vec<Value> = serde_json::from_str(&payload).unwrap();
    checks.retain(|check| check["CheckID"] == "serfHealth");
    checks[0]["Status"] = json!("critical");
    // The victim itself is dead to the bridge: it is told nothing more.
    let before = heard.notes().len();
    let outcome = json!({ "notes": 9, "links": 1, "ignored": 0 });
    post(&bridge, "/watch/checks", json!(checks).to_string(), outcome).await;
    for key in 1..=3 {
        for object in [process(key), service(2 * key), service(2 * key + 1)] {
            told(&survivor, object, HaState::Failed).await;
        }
    }
    let of_hax = [process(0), service(0), service(1)];
    let told = heard_pairs(&heard).split_off(before);
    assert!(
        told.iter().all(|(object, _)| !of_hax.contains(object)),
        "{told:?}"
    );
    assert_eq!(soon("the victim to end", victim.ended()).await, End::Absent);
    assert_eq!(survivor.state().borrow().closes, 0);
}

#[tokio::test]
async fn stored_states_under_a_prefix_are_told() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let (_sim, heard) = bridge.recorded(2).await;
    let drives = "m0conf/sites/s/racks/r/encls/e/ctrls/c/drives";
    let drive = |key| Fid::typed(FidType::Drive, 1, key);
    for (key, state) in [
        (1, "FAILED"),
        (2, "UNKNOWN"),
        (3, "REPAIRED"),
        (4, "SHINING"),
    ] {
        let value = format!(r#"{{"sdev":"0x6400000000000001:{key}","state":"M0_NC_{state}"}}"#);
        cluster
            .put(&format!("{drives}/{}", drive(key)), &value)
            .await;
    }
    let payload = cluster.payload(&format!("/v1/kv/{drives}/?recurse")).await;
    let outcome = json!({ "notes": 2, "links": 1, "ignored": 2 });
    post(&bridge, "/watch/keyprefix", payload, outcome).await;
    let expected = [(drive(1), HaState::Failed), (drive(3), HaState::Repaired)];
    heard
        .wait("the states", |_| (heard.notes().len() >= 2).then_some(()))
        .await;
    assert_eq!(heard_pairs(&heard), expected);
}

#[tokio::test]
async fn nodes_and_empty_payloads_say_nothing_to_motr() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let (_sim, heard) = bridge.recorded(2).await;
    let payload = cluster.payload("/v1/catalog/nodes").await;
    let outcome = json!({ "notes": 0, "links": 0, "ignored": 1 });
    post(&bridge, "/watch/nodes", payload, outcome).await;
    let nothing = json!({ "notes": 0, "links": 0, "ignored": 0 });
    for path in [
        "/",
        "/watch/service",
        "/watch/checks",
        "/watch/nodes",
        "/watch/keyprefix",
    ] {
        for body in ["", "null", "[]", " \n"] {
            post(&bridge, path, body.to_owned(), nothing.clone()).await;
        }
    }
    assert_eq!(heard.messages(), []);
}

#[tokio::test]
async fn more_notes_than_a_message_holds_are_split() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let (_sim, heard) = bridge.recorded(2).await;
    let entry = |key: u64| {
        json!({ "Node": { "Node": "far" }, "Service": { "ID": key.to_string() },
                "Checks": [{ "Status": "passing", "ModifyIndex": 1 }] })
    };
    let payload: Vec<Value> = (1_000..3_500).map(entry).collect();
    let outcome = json!({ "notes": 2_500, "links": 1, "ignored": 0 });
    post(&bridge, "/", json!(payload).to_string(), outcome).await;
    heard
        .wait("three messages", |_| {
            (heard.messages().len() == 3).then_some(())
        })
        .await;
    let expected: Vec<_> = (1_000..3_500)
        .map(|key| (process(key), HaState::Online))
        .collect();
    assert_eq!(heard_pairs(&heard), expected);
}

/// The agent itself posts, as it does in a cluster.
#[tokio::test]
async fn a_watch_of_the_agent_tells_failed_and_then_online() {
    let [http] = free_ports();
    let watch = json!({ "watches": [{
        "type": "service", "service": "ios", "handler_type": "http",
        "http_handler_config": {
            "path": format!("http://127.0.0.1:{http}/watch/service"),
            "method": "POST", "timeout": "10s",
        },
    }]});
    let cluster = Cluster::empty_with(watch).await;
    cluster.fill(3).await;
    let settings = Settings::default().with("http.listen", format!("'127.0.0.1:{http}'"));
    let bridge = Bridge::start_with(&cluster, settings).await;
    let (victim, _) = started(&bridge, 2).await;
    let (survivor, _) = started(&bridge, 3).await;

    cluster.set_check(2, CheckStatus::Critical).await;
    for object in [process(2), service(4), service(5)] {
        told(&survivor, object, HaState::Failed).await;
    }
    assert_eq!(soon("the victim to end", victim.ended()).await, End::Absent);
    bridge.wait_links(&[3]).await;

    // It is started again, and reports before its check has run.
    let (again, to_itself) = started(&bridge, 2).await;
    let answer = soon("a GET to be answered", survivor.nvec_get(&[process(2)])).await;
    assert_eq!(answer.unwrap()[0].state, HaState::Online.raw());
    // Another instance changes: the post carries the old critical of process 2 as well.
    let posts = bridge.counter("broadcasts").await;
    let before = to_itself.states_of(process(2)).len();
    cluster.set_check(4, CheckStatus::Warning).await;
    told(&survivor, process(4), HaState::Transient).await;
    assert!(bridge.counter("broadcasts").await > posts);
    told(&again, process(4), HaState::Transient).await;
    assert_eq!(to_itself.states_of(process(2)).split_off(before), []);
    assert_eq!(again.state().borrow().closes, 0);

    cluster.set_check(2, CheckStatus::Passing).await;
    for object in [process(2), service(4), service(5)] {
        told(&survivor, object, HaState::Online).await;
    }
    assert_eq!(again.state().borrow().closes, 0);
}

#[tokio::test]
async fn a_process_that_comes_back_is_told_what_changed_while_there_was_no_bridge() {
    let cluster = Cluster::small(2).await;
    let mut bridge = Bridge::start(&cluster).await;
    let (listener, heard) = started(&bridge, 2).await;
    started(&bridge, 3).await;
    bridge.kill();
    let stopped = r#"{"state":"M0_CONF_HA_PROCESS_STOPPED","type":"M0_CONF_HA_PROCESS_M0D"}"#;
    let key = format!("processes/{}", process(3));
    cluster.put(&key, stopped).await;
    bridge.restart().await;
    for object in [process(3), service(6), service(7)] {
        told(&listener, object, HaState::Failed).await;
    }
    told(&listener, process(0), HaState::Online).await;
    let of_itself = heard_pairs(&heard)
        .iter()
        .any(|(object, _)| *object == process(2));
    assert!(!of_itself);
}
