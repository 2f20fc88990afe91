//! Nodes that nobody can fence but they themselves.

use std::path::Path;

use halink::HaState::{Failed, Online};
use hax::fence::model::{Action, AttemptState, NodeRecord, Outcome, Refusal, RunResult};

use super::kept::Kept;
use super::loss::Stage;
use super::motr::{Field, delegates, ear, ios, succeeded};
use super::{Shape, Trio};
use crate::death::Local;
use crate::fence::watchdog::Watchdog;
use crate::harness::process;

/// Each node has nothing but a watchdog, which writes down who acts, and when.
fn shape(acted: &Path) -> Shape {
    let script = format!("echo $PPID $(date +%s%N) >> {}", acted.display());
    let device = format!(
        "{{ name = 'self', type = 'watchdog', stop_max = '5s', action = 'command', \
         command = ['/bin/sh', '-c', '{script}'] }}"
    );
    // Longer than the least: the watchdogs of the others must not act on a machine that is busy.
    let shape = Shape::of([]).and(device).with("fence.session_ttl", "'15s'");
    Shape {
        motr: true,
        proxied: true,
        ..shape
    }
}

/// The peer that is asked, one more, and the one that is cut off: Consul does not need its server.
async fn roles(trio: &Trio) -> [usize; 3] {
    let leader = trio.client(0).status().leader().await.unwrap();
    let mut nodes = trio.nodes.iter();
    let leader = nodes.position(|node| leader.as_deref() == Some(&*node.consul.rpc()));
    let leader = leader.expect("one of the servers leads");
    [leader, (leader + 1) % 3, (leader + 2) % 3]
}

#[tokio::test]
async fn a_node_fences_itself_before_it_is_declared_and_one_that_is_not_armed_is_not_declared() {
    let directory = tempfile::tempdir().unwrap();
    let acted = directory.path().join("acted");
    let mut field = Field::start(&shape(&acted)).await;
    let mut watchdogs = Vec::new();
    for bridge in &field.trio.bridges {
        watchdogs.push(Watchdog::of(bridge).await);
    }
    let mut processes = Vec::new();
    for node in 0..3 {
        processes.push(field.ios(node).await);
    }
    field
        .trio
        .wait_view(0, "three armed watchdogs", |view| {
            let mut peers = view.peers.values();
            peers
                .all(|peer| peer.record.watchdog_ms.is_some())
                .then_some(())
        })
        .await;
    field.forget().await;
    let roles @ [by, other, target] = roles(&field.trio).await;

    let at = cut_off(&mut field, &mut processes, roles).await;
    let (who, when) = one_act(&acted);
    assert_eq!(who, watchdogs[target].pid(), "nobody else has acted");
    assert!(when / 1_000_000 <= u128::from(at), "{when} and {at}");
    for key in [ios(target), ear(target)] {
        field.all_told(&[by, other], key, Failed).await;
        for (_, ear) in field.ears().filter(|(node, _)| *node != target) {
            assert!(ear.failed_at(key).await > when, "process {key}");
        }
    }
    field.ears[target] = None;

    disarmed(&mut field, &mut processes, roles).await;
    one_act(&acted);
    for node in [by, other] {
        assert!(!processes[node].has_ended(), "node {node}");
        let log = field.bridge(node).log();
        assert!(!log.contains("THE WATCHDOG ACTS"), "node {node}");
    }
}

/// Who has acted, and when, in nanoseconds since 1970.
fn one_act(acted: &Path) -> (u32, u128) {
    let text = std::fs::read_to_string(acted).expect("the watchdog has acted");
    let words: Vec<_> = text.split_whitespace().collect();
    let [who, when] = words[..] else {
        panic!("one watchdog acts, once: {text}");
    };
    (who.parse().unwrap(), when.parse().unwrap())
}

/// A node that does not reach Consul any more. Returns when it was declared, in milliseconds since 1970.
async fn cut_off(field: &mut Field, processes: &mut [Local], roles: [usize; 3]) -> u64 {
    let [by, other, target] = roles;
    let trio = &field.trio;
    let name = trio.name(target).to_owned();
    trio.nodes[target].consul.freeze();
    let id = trio.ask(by, &name, Action::Off).await;
    let op = trio.ended(by, &id).await;
    // Whoever sees the success finds nobody left who could write.
    assert!(processes[target].has_ended(), "{op:#?}");
    succeeded(&op);
    assert!(!delegates(&op).contains(&&*name), "{op:#?}");
    assert_eq!(op.attempts.len(), 1, "{op:#?}");
    let record = node(trio, by, &name).await;
    assert_eq!(record.epoch, 1);
    assert_eq!(record.fenced.map(|fenced| fenced.op), Some(id));
    for node in [by, other] {
        assert!(!processes[node].has_ended(), "node {node}");
    }
    // Its hax lives, and has been told what was done to it.
    field.bridge(target).wait_log("THE WATCHDOG ACTS").await;
    op.ended().unwrap().at.0
}

async fn node(trio: &Trio, by: usize, name: &str) -> NodeRecord {
    let view = trio.view(by).await.unwrap();
    let record = view.nodes.get(&name.parse().unwrap());
    record
        .map(|record| record.value.clone())
        .unwrap_or_default()
}

/// A watchdog that is given up in the very moment in which somebody is about to count on it.
async fn disarmed(field: &mut Field, processes: &mut [Local], [by, other, _]: [usize; 3]) {
    let name = field.trio.name(other).to_owned();
    let start = Kept::await_of(&field.trio, by, &name, Stage::Start);
    let id = field.trio.ask(by, &name, Action::Off).await;
    start.sent(&field.trio).await;
    field.ears[other] = None;
    field.trio.bridges[other].terminate().await;
    let trio = &field.trio;
    assert!(
        trio.bridges[other]
            .log()
            .contains("the watchdog is disarmed")
    );
    start.comes_too_late(trio).await;
    let op = trio.ended(by, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Failed, "{op:#?}");
    for attempt in &op.attempts {
        let AttemptState::Ended { runs } = &attempt.state else {
            panic!("{op:#?}");
        };
        assert_eq!(runs[0].result, RunResult::Refused, "{op:#?}");
        assert!(runs[0].evidence.contains("is armed"), "{op:#?}");
    }
    // Nobody counts on it any more.
    let next = trio.run(by, &name, Action::Off).await;
    let refused = Outcome::Refused(Refusal::NoDevice);
    assert_eq!(next.ended().unwrap().outcome, refused, "{next:#?}");
    assert_eq!(node(trio, by, &name).await, NodeRecord::default());
    assert!(!processes[other].has_ended());
    field.post_health(&[by]).await;
    field.all_told(&[by], ios(other), Online).await;
    let (_, ear) = field.ears().find(|(node, _)| *node == by).unwrap();
    let states = ear.states(process(ios(other)));
    assert!(!states.contains(&Failed), "{states:?}");
}
