//! A process that cannot be fenced alone, a node that dies, one that comes back, and a Consul that is gone.

use consul_client::CheckStatus;
use halink::HaState::{Failed, Online, Transient};
use hax::death::Proc;
use hax::fence::model::{Action, Source};
use rustix::process::Signal;
use serde_json::json;

use super::motr::{Ear, Field, delegates, ear, ios, shape, succeeded};
use super::{Line, Trio};
use crate::ctl::{expect, haxctl};
use crate::death::Local;
use crate::fence::bridge::EAGAIN;
use crate::harness::{Recorder, eventually, process, soon};

/// The node that has the worst of it, and the others.
const TARGET: usize = 2;
const OTHERS: [usize; 2] = [0, 1];

#[tokio::test]
async fn a_node_is_fenced_comes_back_and_nothing_is_done_without_consul() {
    let directory = tempfile::tempdir().unwrap();
    let boot = |name: &str| format!("{}/{name}", directory.path().display());
    for name in ["first", "second"] {
        std::fs::write(boot(name), name).unwrap();
    }
    // Its `on` is required before a node takes part again.
    let device = "off_timeout = '20s', on_timeout = '20s', retries = 0, unfence = 'automatic'";
    let shape =
        shape(&[("pdu", device)]).with("fence.boot_id_file", format!("'{}'", boot("first")));
    let mut field = Field::start(&shape).await;
    escalated(&mut field).await;
    released(&mut field).await;
    died(&mut field).await;
    let boot = format!("'{}'", boot("second"));
    started_anew(&mut field, &boot).await;
    no_quorum(&mut field).await;
    field.trio.agents.no_overlap();
}

/// Runs of an action on the target.
fn runs(trio: &Trio, action: Action) -> Vec<Line> {
    let lines = trio.agents.starts(trio.name(TARGET)).into_iter();
    lines
        .filter(|line| line.action == action.as_str())
        .collect()
}

fn all_of(node: usize) -> [u64; 2] {
    [ios(node), ear(node)]
}

/// A process hangs, and the hax that could kill it is dead.
async fn escalated(field: &mut Field) {
    let key = ios(TARGET);
    let victim = field.ios(TARGET).await;
    field.forget().await;
    field.ears[TARGET] = None;
    victim.signal(Signal::STOP);
    field.trio.bridges[TARGET].kill();
    field.trio.nodes[TARGET]
        .set_check(key, CheckStatus::Critical)
        .await;
    field.post_health(&OTHERS).await;
    field.all_told(&OTHERS, key, Transient).await;
    let target = field.trio.name(TARGET).to_owned();
    let op = field.confirmed(0, &target, 0).await;
    succeeded(&op);
    assert_eq!(op.origin.source, Source::Escalation);
    let starts = field.trio.agents.starts(&target);
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_ne!(starts[0].peer, target);
    assert_eq!(delegates(&op), [starts[0].peer.as_str()]);
    for key in all_of(TARGET) {
        field.all_told(&OTHERS, key, Failed).await;
    }
    field.assert_states(&OTHERS, key, &[Transient, Failed]);
    // The node's power was cut.
    drop(victim);
}

/// Its hax comes back, and nothing shows that the node was started anew.
async fn released(field: &mut Field) {
    let key = ios(TARGET);
    field.trio.bridges[TARGET].restart().await;
    let bridge = &field.trio.bridges[TARGET];
    bridge.wait_log("it has not been started anew since").await;
    let (sim, heard) = refused(field).await;
    let epoch = epoch(field).await;
    // A hax that was restarted can know of a process that has not spoken to it that there is none, but only
    // where it sees all: in a container it cannot, and the process would be fenced with its node.
    let sees_all = Proc::default().shows_all();
    if !sees_all {
        let node = &field.trio.nodes[TARGET];
        node.set_check(key, CheckStatus::Passing).await;
    }
    let url = field.bridge(TARGET).url();
    let target = field.trio.name(TARGET).to_owned();
    let args = [
        "fence",
        "--hax",
        &url,
        "release",
        &target,
        "--reason",
        "it was reset",
    ];
    expect(&haxctl(&args).await, 0);
    soon("an entrypoint", sim.ready()).await.unwrap();
    assert_eq!(heard.replies().last().unwrap().rc, 0);
    drop((sim, heard));
    assert_eq!(runs(&field.trio, Action::On), []);
    let mut before = 0;
    if sees_all {
        // Its check is still critical, as nobody has started it yet. That is seen to by its own hax now.
        fenced_by_its_own(field, before).await;
        before += 1;
    }
    field.ears[TARGET] = Some(Ear::on(field.bridge(TARGET), TARGET).await);
    field.all_told(&OTHERS, ear(TARGET), Online).await;
    field.trio.wait_peers(0, 2).await;
    let mut back = field.ios(TARGET).await;
    for (_, ear) in field.ears().filter(|(node, _)| *node != TARGET) {
        let states = ear.states(process(key));
        assert!(states.starts_with(&[Transient, Failed]), "{states:?}");
        assert_eq!(states.last(), Some(&Online), "{states:?}");
    }
    // What hangs now is ended by its own hax, too.
    back.signal(Signal::STOP);
    let node = &field.trio.nodes[TARGET];
    node.set_check(key, CheckStatus::Critical).await;
    field.post_health(&OTHERS).await;
    fenced_by_its_own(field, before).await;
    assert!(back.has_ended());
    assert_eq!(runs(&field.trio, Action::Off).len(), 1);
    assert_eq!(self::epoch(field).await, epoch);
}

/// The process of the target is fenced after `before` times by the hax of its node.
async fn fenced_by_its_own(field: &Field, before: usize) {
    let op = field.fenced_again(0, &field.target(TARGET), before).await;
    succeeded(&op);
    assert_eq!(delegates(&op), [field.trio.name(TARGET)]);
}

/// A process of the fenced node, which is refused its entrypoint again and again.
async fn refused(field: &Field) -> (hax::sim::client::SimProcess, Recorder) {
    let bridge = field.bridge(TARGET);
    let (sim, events) = bridge.spawn_sim(bridge.sim_config(ios(TARGET)));
    let heard = Recorder::spawn(events);
    let replies = || heard.replies();
    heard
        .wait("three answers", |_| (replies().len() >= 3).then_some(()))
        .await;
    assert!(
        replies().iter().all(|reply| reply.rc == EAGAIN),
        "{:?}",
        replies()
    );
    for ear in [0, 1].map(|node| field.ears[node].as_ref().unwrap()) {
        assert_eq!(ear.states(process(ios(TARGET))).last(), Some(&Failed));
    }
    (sim, heard)
}

async fn epoch(field: &Field) -> u64 {
    let target = field.trio.name(TARGET).parse().unwrap();
    let view = field.trio.view(0).await.unwrap();
    view.nodes[&target].value.epoch
}

/// Consul, hax and Motr of a node end at once.
async fn died(field: &mut Field) {
    let (key, target) = (ios(TARGET), field.trio.name(TARGET).to_owned());
    field.trio.agents.behave("pdu.off", 0, 3.0);
    let victim: Local = field.ios(TARGET).await;
    field.forget().await;
    let before = runs(&field.trio, Action::Off).len();
    field.trio.bridges[TARGET].kill();
    victim.kill();
    field.ears[TARGET] = None;
    field.trio.nodes[TARGET].consul.kill();
    eventually("serfHealth to be critical", async || {
        let checks = field
            .trio
            .client(0)
            .health()
            .node(&target)
            .await
            .ok()?
            .value;
        let mut serf = checks.iter().filter(|check| check.check_id == "serfHealth");
        serf.any(|check| check.status == CheckStatus::Critical)
            .then_some(())
    })
    .await;
    field.post_checks(&OTHERS).await;
    for key in all_of(TARGET) {
        field.all_told(&OTHERS, key, Transient).await;
    }
    // The second is its release.
    let op = field.confirmed(0, &target, 2).await;
    succeeded(&op);
    assert_eq!(op.origin.source, Source::NodeLost);
    let starts = runs(&field.trio, Action::Off).split_off(before);
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_ne!(starts[0].peer, target);
    let ends = field.trio.agents.ends(&target);
    let end = ends.last().unwrap().at;
    for key in all_of(TARGET) {
        field.all_told(&OTHERS, key, Failed).await;
        field.assert_states(&OTHERS, key, &[Transient, Failed]);
        for (_, ear) in field.ears() {
            assert!(ear.failed_at(key).await > end, "process {key}");
        }
    }
    assert!(
        !field.trio.nodes[0]
            .stored(key)
            .await
            .unwrap()
            .contains("STOPPED")
    );
}

/// The node has another boot ID: it comes back by itself, once it has been switched on.
async fn started_anew(field: &mut Field, boot: &str) {
    assert_eq!(runs(&field.trio, Action::On), []);
    let epoch = epoch(field).await;
    field.trio.agents.behave("pdu.on", 0, 2.0);
    field.trio.nodes[TARGET].consul.restart().await;
    field.trio.bridges[TARGET].configure("fence.boot_id_file", boot);
    field.trio.bridges[TARGET].restart().await;
    let (sim, _heard) = refused(field).await;
    soon("an entrypoint", sim.ready()).await.unwrap();
    // It had none before the end of `on`.
    let target = field.trio.name(TARGET);
    let on = runs(&field.trio, Action::On);
    assert_eq!(on.len(), 1, "{on:?}");
    let ends = field.trio.agents.ends(target);
    assert_eq!(ends.last().unwrap().action, "on", "{ends:?}");
    assert_eq!(self::epoch(field).await, epoch);
    drop(sim);
    field.trio.nodes[TARGET]
        .set_check(ear(TARGET), CheckStatus::Passing)
        .await;
    field.ears[TARGET] = Some(Ear::on(field.bridge(TARGET), TARGET).await);
    field.trio.wait_peers(0, 2).await;
}

/// A process hangs, and Consul has no majority: nobody does anything.
async fn no_quorum(field: &mut Field) {
    let (node, key) = (0, ios(0));
    let mut victim = field.ios(node).await;
    field.forget().await;
    let lines = field.trio.agents.lines();
    for other in [1, 2] {
        field.trio.nodes[other].consul.kill();
    }
    victim.signal(Signal::STOP);
    let agent = field.trio.client(node).agent();
    let check = format!("service:{key}");
    agent
        .check_update(&check, CheckStatus::Critical, "by a test")
        .await
        .unwrap();
    field
        .bridge(node)
        .wait_log("the session of fencing was not renewed in time")
        .await;
    for (asked, target) in [(0, 1), (0, 2)] {
        let body = json!({ "target": field.trio.name(target), "action": "off" });
        let (status, answer) = field.trio.post(asked, "run", body).await;
        assert_eq!(
            (status, &answer["error"]),
            (503, &json!("no-quorum")),
            "{answer}"
        );
    }
    assert!(!victim.has_ended());
    assert_eq!(field.trio.agents.lines(), lines);
    for (number, ear) in field.ears() {
        for told in [0, 1, 2].map(ios) {
            assert_eq!(
                ear.states(process(told)),
                [],
                "node {number}, process {told}"
            );
        }
    }
}
