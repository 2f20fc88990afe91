//! More messages than `dispatch.queue_max` while Consul is away.

use halink::{Fid, HaState, ProcessEvent};
use hax::sim::client::SimProcess;
use hax::sim::wire::{Body, NVEC_GET, NVEC_SET, Note};

use super::resident_kib;
use super::{Outage, delivered_tags, hasty, post, send, watch_body};
use crate::harness::{Bridge, Recorder, process, soon};

const QUEUE_MAX: u64 = 64;
/// What a link may have on its own (rfc/6-wire.md, "Back-pressure").
const RESERVED: u64 = 16;
const LINKS: u64 = 8;
/// Process events of a link, and as many large GETs.
const EACH: u64 = 60;
/// All GETs together take 20 MiB in the bridge; those that it may hold, less than one.
const GROWTH_KIB: u64 = 6 * 1_024;

/// An NVEC GET as large as can be; its answer is not waited for here.
async fn ask(sim: &SimProcess, id_of_get: u64) -> u64 {
    let note = |key| Note {
        object: Fid::new(0x6b00_0000_0000_0001, key),
        state: 0,
    };
    let body = Body::Nvec {
        kind: NVEC_GET,
        id_of_get,
        ignore_same_state: 0,
        notes: (0..1_024).map(note).collect(),
    };
    sim.send(sim.draft(Fid::NIL, body)).await.unwrap().tag
}

/// The GETs that were answered, in the order of their answers.
fn answered(recorder: &Recorder) -> Vec<u64> {
    let id = |body| match body {
        Body::Nvec {
            kind: NVEC_SET,
            id_of_get,
            ..
        } => (id_of_get > 0).then_some(id_of_get),
        _ => None,
    };
    let messages = recorder.messages().into_iter();
    messages.filter_map(|msg| id(msg.body)).collect()
}

#[tokio::test]
async fn what_comes_while_consul_is_away_is_bounded_and_none_of_it_is_lost() {
    let outage = Outage::Frozen;
    let mut cluster = outage.cluster(LINKS).await;
    let settings = hasty()
        .with("dispatch.queue_max", QUEUE_MAX.to_string())
        .with("entrypoint.timeout", "'500ms'");
    let bridge = Bridge::start_with(&cluster, settings).await;
    let mut processes = Vec::new();
    for key in 2..2 + LINKS {
        processes.push(bridge.recorded(key).await);
    }
    let quiet = bridge.sim(50).await;
    let (events, gets) = (
        bridge.counter("process_events").await,
        bridge.counter("nvec_gets").await,
    );
    let before = resident_kib(bridge.pid());
    outage.begin(&mut cluster);
    let mut tags = Vec::new();
    for (sim, _) in &processes {
        let mut sent = Vec::new();
        for id in 1..=EACH {
            let event = [ProcessEvent::Starting, ProcessEvent::Started][(id % 2) as usize];
            sent.push(send(sim, event).await.tag);
            sent.push(ask(sim, id).await);
        }
        tags.push(sent);
    }
    bridge
        .wait_status("the bound to be reached", |status| {
            status["links"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|link| link["process"] != process(50).to_string() && link["own"] == false)
                .all(|link| link["received"].as_u64().unwrap() > 1)
        })
        .await;
    bridge.wait_log("links are not read").await;
    // A new process is told to ask again, and broadcasts are delivered, all the while.
    let (newcomer, _events) = bridge.spawn_sim(bridge.sim_config(51));
    soon("EAGAIN", newcomer.wait(|state| state.again >= 2))
        .await
        .unwrap();
    post(&bridge, watch_body([7_777], "warning")).await;
    let told = quiet.wait_state(process(7_777), HaState::Transient);
    soon("a broadcast", told).await.unwrap();
    bridge
        .wait_status("it to be delivered", |status| {
            status["counters"]["broadcast_delivered"].as_u64() >= Some(1)
        })
        .await;
    // What was sent waits on the senders' side.
    let status = bridge.status().await;
    let messages = status["queue"]["messages"].as_u64().unwrap();
    assert!(messages <= QUEUE_MAX + RESERVED * (LINKS + 3), "{status}");
    for (sim, _) in &processes {
        assert_eq!(sim.state().borrow().unacked as u64, 2 * EACH);
    }
    let held = resident_kib(bridge.pid());
    eprintln!(
        "{messages} of {} held: {before} KiB, then {held} KiB",
        2 * EACH * LINKS
    );
    assert!(held <= before + GROWTH_KIB, "{before} KiB, then {held} KiB");
    outage.end(&mut cluster).await;
    for ((sim, recorder), tags) in processes.iter().zip(tags) {
        soon("all to be delivered", sim.wait_all_delivered())
            .await
            .unwrap();
        let all = |_: &[_]| (answered(recorder).len() as u64 >= EACH).then_some(());
        recorder.wait("every answer", all).await;
        assert_eq!(answered(recorder), (1..=EACH).collect::<Vec<_>>());
        assert_eq!(delivered_tags(recorder), tags);
    }
    bridge
        .wait_counter("process_events", events + EACH * LINKS)
        .await;
    bridge.wait_counter("nvec_gets", gets + EACH * LINKS).await;
    soon("its entrypoint", newcomer.ready()).await.unwrap();
    bridge
        .wait_status("nothing held", |status| status["queue"]["messages"] == 0)
        .await;
}
