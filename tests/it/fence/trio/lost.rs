//! Daemons and sessions that go in the middle of a run.

use hax::fence::model::{Action, AttemptState, Operation, Outcome, RunResult};
use rustix::process::{Pid, test_kill_process};

use super::{Line, Shape, Trio};
use crate::harness::eventually;

/// The longest run of the device below, in nanoseconds.
const RUN_MAX: u128 = 4_300_000_000;

fn shape() -> Shape {
    Shape::of([("pdu", "off_timeout = '4s', retries = 1")])
}

fn result(op: &Operation, attempt: usize) -> RunResult {
    match &op.attempts[attempt].state {
        AttemptState::Ended { runs } => runs[0].result,
        state => panic!("{state:?}"),
    }
}

async fn wait_dead(line: &Line) {
    let pid = Pid::from_raw(line.pid).unwrap();
    let gone = async || test_kill_process(pid).is_err().then_some(());
    eventually("the agent to be dead", gone).await;
}

/// The agent ends with its daemon; another peer goes on, but only when it is certain.
#[tokio::test]
async fn a_delegate_that_is_killed_is_followed_by_another_after_the_wait() {
    let mut trio = Trio::start(&shape()).await;
    // Its own node is none of the delegates.
    let target = trio.name(2).to_owned();
    trio.agents.behave("pdu.off", 0, 3.0);
    let id = trio.ask(2, &target, Action::Off).await;
    let first = trio.wait_start(&target, 0).await;
    let delegate = trio.number(&first.peer);
    trio.bridges[delegate].kill();
    wait_dead(&first).await;
    trio.agents.behave("pdu.off", 0, 0.0);
    let op = trio.ended(2, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(result(&op, 0), RunResult::Indeterminate);
    let starts = trio.agents.starts(&target);
    assert_eq!(starts.len(), 2, "{starts:?}");
    assert_ne!(starts[1].peer, first.peer);
    assert_ne!(starts[1].peer, target);
    assert!(starts[1].at - first.at > RUN_MAX, "{starts:?}");
    trio.agents.no_overlap();
}

/// The originator drives, and dies: the next driver goes on from the record.
#[tokio::test]
async fn an_operation_ends_without_its_originator() {
    let mut trio = Trio::start(&shape()).await;
    let target = trio.name(2).to_owned();
    trio.agents.behave("pdu.off.once", 2, 1.0);
    let id = trio.ask(2, &target, Action::Off).await;
    trio.wait_start(&target, 0).await;
    trio.bridges[2].kill();
    let op = trio.ended(0, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(trio.agents.starts(&target).len(), 2);
    assert_ne!(op.driver.as_str(), target);
    trio.agents.no_overlap();
}

/// Without its session a delegate can say nothing but that it does not know.
#[tokio::test]
async fn a_run_whose_session_is_lost_is_no_success() {
    let trio = Trio::start(&shape()).await;
    trio.add_target("t").await;
    trio.agents.behave("pdu.off.once", 0, 3.0);
    let id = trio.ask(0, "t", Action::Off).await;
    let first = trio.wait_start("t", 0).await;
    let session = trio
        .wait_view(0, "the running attempt", |view| {
            match &view.ops.get(&id)?.value.attempts.first()?.state {
                AttemptState::Running { session, .. } => Some(session.clone()),
                _ => None,
            }
        })
        .await;
    let session = session.parse().unwrap();
    trio.client(0).session().destroy(&session).await.unwrap();
    wait_dead(&first).await;
    let op = trio.ended(0, &id).await;
    assert_eq!(result(&op, 0), RunResult::Indeterminate, "{op:#?}");
    // The first run never came to its end.
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(trio.agents.starts("t").len(), 2);
    assert_eq!(trio.agents.ends("t").len(), 1);
    trio.agents.no_overlap();
}

/// An orderly stop ends the agent and says so, and leaves no lock behind.
#[tokio::test]
async fn a_delegate_that_stops_hands_over_at_once() {
    let mut trio = Trio::start(&shape()).await;
    let target = trio.name(2).to_owned();
    trio.agents.behave("pdu.off.once", 0, 3.0);
    let id = trio.ask(2, &target, Action::Off).await;
    let first = trio.wait_start(&target, 0).await;
    let delegate = trio.number(&first.peer);
    assert!(trio.bridges[delegate].terminate().await.success());
    let op = trio.ended(2, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(result(&op, 0), RunResult::Killed);
    let starts = trio.agents.starts(&target);
    assert_eq!(starts.len(), 2);
    assert_ne!(starts[1].peer, first.peer);
    let view = trio.view(2).await.unwrap();
    assert!(view.peers[&first.peer.parse().unwrap()].session.is_none());
    trio.agents.no_overlap();
}
