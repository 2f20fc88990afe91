use std::sync::atomic::Ordering;
use std::time::Duration;

use super::plugins::{Fixture, Way, fixture, name, set, timing};
use crate::plugin::{InstanceError, Outcome, State, Timing};

const SOON: Duration = Duration::from_millis(200);

/// With the instances `changed`, `removed` and `same` running.
async fn begin(timing: Timing) -> Fixture {
    let fixture = fixture(timing);
    let all = set(&[("changed", 1), ("removed", 1), ("same", 1)]);
    let outcome = fixture.handle.reload(all).await.unwrap();
    let started = ["changed", "removed", "same"].map(name).to_vec();
    let done = Outcome::Done {
        unchanged: Vec::new(),
        started,
        stopped: Vec::new(),
        replaced: Vec::new(),
    };
    assert_eq!(outcome, done);
    fixture
}

/// How often those instances and `new` were started, by the numbers of their configurations.
fn starts(fixture: &Fixture) -> [Vec<usize>; 4] {
    ["changed", "removed", "same", "new"].map(|name| {
        let starts = fixture.bad.starts_of(name).into_iter();
        starts.map(|(number, _)| number).collect()
    })
}

fn running(fixture: &Fixture) -> Vec<String> {
    let status = fixture.handle.status().into_iter();
    let running = status.filter(|status| status.state == State::Running);
    running.map(|status| status.instance.to_string()).collect()
}

async fn change(fixture: &Fixture) -> Outcome {
    let new = set(&[("changed", 2), ("new", 1), ("same", 1)]);
    fixture.handle.reload(new).await.unwrap()
}

fn error(instance: &str, error: &str) -> InstanceError {
    InstanceError {
        instance: name(instance),
        error: error.to_owned(),
    }
}

#[tokio::test]
async fn only_what_is_changed_is_touched() {
    let fixture = begin(timing()).await;
    let outcome = change(&fixture).await;
    let json = serde_json::json!({
        "result": "done",
        "unchanged": ["same"], "started": ["new"], "stopped": ["removed"], "replaced": ["changed"],
    });
    assert_eq!(serde_json::to_value(outcome).unwrap(), json);
    assert_eq!(starts(&fixture), [vec![1, 2], vec![1], vec![1], vec![1]]);
    assert_eq!(running(&fixture), ["changed", "new", "same"]);
    assert_eq!(fixture.find("removed"), None);
    fixture.answers("same").await;
    assert_eq!(fixture.find("changed").unwrap().detail["number"], 2);
}

#[tokio::test]
async fn what_cannot_be_prepared_changes_nothing() {
    let fixture = begin(Timing {
        start_timeout: Duration::from_secs(1),
        ..timing()
    })
    .await;
    fixture.bad.set("changed", 2, Way::NotPrepared);
    fixture.bad.set("new", 1, Way::PanicsInPrepare);
    fixture.bad.set("slow", 1, Way::BlocksInPrepare);
    let new = set(&[("changed", 2), ("new", 1), ("same", 1), ("slow", 1)]);
    let outcome = fixture.handle.reload(new.clone()).await.unwrap();
    let mut errors = vec![
        error("changed", "cannot be prepared"),
        error("new", "panicked: in prepare"),
        error("slow", "is not prepared after 1s"),
    ];
    assert_eq!(
        outcome,
        Outcome::Refused {
            errors: errors.clone()
        }
    );
    assert_eq!(starts(&fixture), [vec![1], vec![1], vec![1], vec![]]);
    assert_eq!(running(&fixture), ["changed", "removed", "same"]);

    // The preparation that does not come back is not begun a second time.
    let outcome = fixture.handle.reload(new).await.unwrap();
    errors[2] = error("slow", "its preparation of before has not come back yet");
    assert_eq!(outcome, Outcome::Refused { errors });
}

#[tokio::test]
async fn a_set_that_does_not_get_ready_is_rolled_back() {
    let fixture = begin(Timing {
        start_timeout: Duration::from_secs(1),
        ..timing()
    })
    .await;
    fixture.bad.set("new", 1, Way::NotReady);
    let outcome = change(&fixture).await;
    let errors = vec![error("new", "is not ready after 1s")];
    assert_eq!(
        outcome,
        Outcome::RolledBack {
            errors,
            whole: true
        }
    );
    assert_eq!(starts(&fixture)[..3], [vec![1, 2, 1], vec![1, 1], vec![1]]);
    assert_eq!(running(&fixture), ["changed", "removed", "same"]);
    assert_eq!(fixture.find("changed").unwrap().detail["number"], 1);

    // And the next one goes well.
    fixture.bad.set("new", 1, Way::Good);
    assert!(matches!(change(&fixture).await, Outcome::Done { .. }));
}

#[tokio::test]
async fn all_errors_of_a_start_are_told_and_an_old_one_that_is_lost_is_tried_again() {
    let fixture = begin(timing()).await;
    fixture.bad.set("changed", 2, Way::Fails);
    fixture.bad.set("new", 1, Way::Fails);
    fixture.bad.set("removed", 1, Way::Fails);
    let outcome = change(&fixture).await;
    let errors = ["changed", "new", "removed"].map(|name| error(name, "on purpose"));
    let errors = errors.to_vec();
    assert_eq!(
        outcome,
        Outcome::RolledBack {
            errors,
            whole: false
        }
    );
    assert_eq!(running(&fixture), ["changed", "same"]);
    fixture.bad.set("removed", 1, Way::Good);
    fixture
        .until("removed", |status| status.state == State::Running)
        .await;
}

#[tokio::test]
async fn one_that_does_not_stop_rolls_the_others_back_and_gets_its_place_again() {
    let fixture = begin(Timing {
        stop_timeout: SOON,
        ..timing()
    })
    .await;
    fixture.bad.set("changed", 3, Way::IgnoresStop);
    let outcome = fixture
        .handle
        .reload(set(&[("changed", 3), ("removed", 1), ("same", 1)]))
        .await;
    assert!(matches!(outcome.unwrap(), Outcome::Done { .. }));
    let outcome = change(&fixture).await;
    let Outcome::RolledBack {
        errors,
        whole: false,
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert!(
        errors.iter().all(|error| error.instance == name("changed")),
        "{errors:?}"
    );
    assert_eq!(fixture.state("changed"), Some(State::Stuck));
    assert_eq!(starts(&fixture), [vec![1, 3], vec![1, 1], vec![1], vec![]]);
    fixture.bad.let_go.store(true, Ordering::Release);
    fixture
        .until("changed", |status| status.state == State::Running)
        .await;
    assert_eq!(starts(&fixture)[0], [1, 3, 3]);
}

#[tokio::test]
async fn a_new_one_that_neither_gets_ready_nor_stops_is_shown_until_it_ends() {
    let bounds = Timing {
        start_timeout: Duration::from_secs(1),
        stop_timeout: SOON,
        ..timing()
    };
    let fixture = begin(bounds).await;
    fixture.bad.set("new", 1, Way::NotReadyNorStops);
    assert!(matches!(
        change(&fixture).await,
        Outcome::RolledBack { whole: true, .. }
    ));
    assert_eq!(running(&fixture), ["changed", "removed", "same"]);
    assert_eq!(fixture.state("new"), Some(State::Stuck));
    let outcome = change(&fixture).await;
    assert!(matches!(outcome, Outcome::Refused { errors } if errors[0].instance == name("new")));

    fixture.bad.let_go.store(true, Ordering::Release);
    fixture
        .until("new", |status| status.state == State::Stopped)
        .await;
    fixture.bad.set("new", 1, Way::Good);
    assert!(matches!(change(&fixture).await, Outcome::Done { .. }));
    assert_eq!(running(&fixture), ["changed", "new", "same"]);
}
