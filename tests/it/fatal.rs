//! Messages 5/HAX calls fatal (amendment A1).

use std::os::unix::process::ExitStatusExt;

use halink::{Fid, HaState, ProcessEvent, ProcessType};
use hax::sim::client::{End, SimProcess};
use hax::sim::wire::Body;

use crate::harness::{Bridge, Cluster, Settings, process, service, soon};

fn fatal_messages() -> [Body; 4] {
    [
        Body::KeepaliveReq { id: [1, 2] },
        Body::KeepaliveRep {
            id: [1, 2],
            counter: 3,
        },
        Body::BeIoErr {
            errcode: 5,
            location: 1,
            io_opcode: 1,
        },
        Body::SnsErr {
            errcode: 5,
            opcode: 1,
        },
    ]
}

async fn start(sim: &SimProcess) {
    let delivery = sim
        .process_event(ProcessEvent::Started, ProcessType::M0d)
        .await
        .unwrap();
    soon("STARTED to be delivered", delivery.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_sender_is_isolated_and_the_bridge_lives_on() {
    let cluster = Cluster::small(5).await;
    let mut bridge = Bridge::start(&cluster).await;
    let (survivor, heard) = bridge.recorded(6).await;
    start(&survivor).await;
    for (key, body) in (2..).zip(fatal_messages()) {
        let name = body.name();
        let (sender, told) = bridge.recorded(key).await;
        start(&sender).await;
        let delivery = sender.send(sender.draft(Fid::NIL, body)).await.unwrap();
        for object in [process(key), service(2 * key), service(2 * key + 1)] {
            let state = survivor.wait_state(object, HaState::Failed);
            soon(&format!("{object} to be told FAILED"), state)
                .await
                .unwrap();
        }
        soon(&format!("{name} to be delivered"), delivery.wait())
            .await
            .unwrap();
        let stored = cluster.stored(key).await.unwrap();
        assert_eq!(
            stored,
            r#"{"state":"M0_CONF_HA_PROCESS_STOPPED","type":"M0_CONF_HA_PROCESS_M0D"}"#
        );
        let end = soon("the sender to end", sender.ended()).await;
        assert_eq!(end, End::Absent, "{name}");
        assert_eq!(told.notes(), [], "the sender is told nothing of itself");
    }
    bridge.wait_counter("fatal_messages", 4).await;
    bridge.wait_links(&[6]).await;
    assert!(bridge.is_alive());
    let asked = [process(2), process(6)];
    let answer = soon("a GET to be answered", survivor.nvec_get(&asked));
    let states: Vec<u32> = answer
        .await
        .unwrap()
        .iter()
        .map(|note| note.state)
        .collect();
    assert_eq!(states, [HaState::Failed.raw(), HaState::Online.raw()]);
    assert_eq!(heard.states_of(process(6)), [HaState::Online]);
    assert_eq!(survivor.state().borrow().closes, 0);
}

#[tokio::test]
async fn to_the_letter_the_bridge_aborts_and_the_next_run_gets_the_message_again() {
    let cluster = Cluster::small(2).await;
    let settings = Settings::default().with("ha.on_fatal_message", "'panic'");
    let mut bridge = Bridge::start_with(&cluster, settings).await;
    let sender = bridge.sim(2).await;
    start(&sender).await;
    let body = Body::BeIoErr {
        errcode: 5,
        location: 1,
        io_opcode: 1,
    };
    let delivery = sender.send(sender.draft(Fid::NIL, body)).await.unwrap();
    let exit = bridge.exited().await;
    const SIGABRT: i32 = 6;
    assert_eq!(exit.signal(), Some(SIGABRT), "{exit}");
    assert!(bridge.log().contains("FATAL MESSAGE"), "{}", bridge.log());
    assert_eq!(sender.state().borrow().unacked, 1);
    assert!(cluster.stored(2).await.unwrap().contains("_STARTED"));

    bridge.configure("ha.on_fatal_message", "'isolate'");
    bridge.restart().await;
    soon(
        "the message to be delivered to the next run",
        delivery.wait(),
    )
    .await
    .unwrap();
    assert_eq!(soon("the sender to end", sender.ended()).await, End::Absent);
    bridge.wait_counter("fatal_messages", 1).await;
    cluster.wait_stored(2, "STOPPED").await;
}
