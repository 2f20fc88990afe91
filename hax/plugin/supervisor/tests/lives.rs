use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::plugins::{Way, fixture, name, set, timing};
use crate::plugin::{
    Change, LeaderObject, Object, Order, Outcome, SourceId, State, SupervisorError, Timing,
};

const SOON: Duration = Duration::from_millis(200);

#[tokio::test]
async fn others_go_on_while_one_spins_blocks_or_panics() {
    let fixture = fixture(timing());
    for (name, way) in [
        ("spins", Way::Spins),
        ("blocks", Way::Blocks),
        ("panics", Way::Panics),
    ] {
        fixture.bad.set(name, 1, way);
    }
    let all = [("blocks", 1), ("good", 1), ("panics", 1), ("spins", 1)];
    let outcome = fixture.handle.reload(set(&all)).await.unwrap();
    assert!(matches!(outcome, Outcome::Done { started, .. } if started.len() == 4));
    for hangs in ["spins", "blocks"] {
        let status = fixture.until(hangs, |status| status.hanging).await;
        assert_eq!(status.state, State::Running);
    }
    fixture.answers("good").await;
    assert!(!fixture.find("good").unwrap().hanging);
    assert_eq!(fixture.find("good").unwrap().detail["number"], 1);

    fixture.bad.let_go.store(true, Ordering::Release);
    let failed = fixture
        .until("panics", |status| status.causes.len() == 8)
        .await;
    assert!(failed.restarts >= 7);
    assert!(
        failed
            .causes
            .iter()
            .all(|cause| cause.error == "panicked: these are 4 words")
    );
    fixture.until("spins", |status| !status.hanging).await;
    fixture.answers("good").await;
    fixture.answers("spins").await;
    fixture.answers("blocks").await;
    for same in ["good", "spins", "blocks"] {
        assert_eq!(fixture.bad.starts_of(same).len(), 1);
    }
}

#[tokio::test]
async fn events_that_an_instance_is_not_told_of_are_counted_over_restarts() {
    let fixture = fixture(timing());
    fixture.handle.reload(set(&[("good", 1)])).await.unwrap();
    let tell = |node: &str| {
        let leader = LeaderObject {
            node: Some(node.to_owned()),
            ..LeaderObject::default()
        };
        let change = Change::Set(Object::from(leader));
        fixture.hub.apply(SourceId::Bridge, [change]);
    };
    ["a", "b"].into_iter().for_each(tell);
    assert_eq!(fixture.find("good").unwrap().missed, 2);
    fixture.handle.restart(&name("good")).await.unwrap();
    ["c", "d"].into_iter().for_each(tell);
    assert_eq!(fixture.find("good").unwrap().missed, 4);
    assert_eq!(fixture.bad.starts_of("good").len(), 2);
}

#[tokio::test]
async fn an_instance_that_does_not_stop_is_stuck_and_not_replaced_before_it_ends() {
    let fixture = fixture(Timing {
        stop_timeout: SOON,
        ..timing()
    });
    fixture.bad.set("bad", 1, Way::IgnoresStop);
    fixture
        .handle
        .reload(set(&[("bad", 1), ("good", 1)]))
        .await
        .unwrap();
    let error = fixture.handle.restart(&name("bad")).await.unwrap_err();
    assert!(matches!(error, SupervisorError::Failed(_, why) if why.0.contains("stuck")));
    assert_eq!(fixture.state("bad"), Some(State::Stuck));
    let (reply, _answer) = oneshot::channel();
    let order = Order::StartUntil {
        resource: None,
        until: "all".to_owned(),
        reply,
    };
    let refused = fixture.handle.order(&name("bad"), order).unwrap_err();
    assert_eq!(refused, SupervisorError::NotRunning(name("bad")));

    // A second restart does not make a second thread either, and others are as they were.
    fixture.handle.restart(&name("bad")).await.unwrap_err();
    let outcome = fixture
        .handle
        .reload(set(&[("bad", 2), ("good", 2)]))
        .await
        .unwrap();
    assert!(matches!(outcome, Outcome::Refused { errors } if errors.len() == 1));
    assert_eq!(fixture.bad.starts_of("bad").len(), 1);
    assert_eq!(fixture.bad.starts_of("good").len(), 1);

    fixture.bad.let_go.store(true, Ordering::Release);
    fixture
        .until("bad", |status| status.state == State::Running)
        .await;
    assert_eq!(fixture.bad.starts_of("bad").len(), 2);
}

#[tokio::test]
async fn the_host_stops_though_an_instance_does_not() {
    let mut fixture = fixture(Timing {
        stop_timeout: SOON,
        ..timing()
    });
    fixture.bad.set("bad", 1, Way::Blocks);
    fixture
        .handle
        .reload(set(&[("bad", 1), ("good", 1)]))
        .await
        .unwrap();
    fixture.host.take().unwrap().stop().await.unwrap();
    assert_eq!(fixture.state("good"), Some(State::Stopped));
    assert_eq!(fixture.state("bad"), Some(State::Stuck));
    let ended = fixture.handle.restart(&name("good")).await.unwrap_err();
    assert_eq!(ended, SupervisorError::Ended);
}

#[tokio::test]
async fn a_reload_under_way_does_not_hold_up_the_end() {
    let mut fixture = fixture(timing());
    fixture.handle.reload(set(&[("good", 1)])).await.unwrap();
    fixture.bad.set("slow", 1, Way::NotReady);
    let handle = fixture.handle.clone();
    let reload = tokio::spawn(async move { handle.reload(set(&[("good", 2), ("slow", 1)])).await });
    fixture
        .until("slow", |status| status.state == State::Starting)
        .await;
    fixture.host.take().unwrap().stop().await.unwrap();
    assert_eq!(reload.await.unwrap().unwrap_err(), SupervisorError::Ended);
    for stopped in ["good", "slow"] {
        assert_eq!(fixture.state(stopped), Some(State::Stopped));
    }
}

#[tokio::test]
async fn unknown_names_are_refused() {
    let fixture = fixture(timing());
    let error = fixture.handle.restart(&name("x")).await.unwrap_err();
    assert_eq!(error, SupervisorError::NoSuchInstance(name("x")));
    assert_eq!(error.to_string(), "there is no plugin instance x");
}
