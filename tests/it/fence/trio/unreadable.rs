//! Records that nobody can read, in the middle of an operation.

use hax::fence::model::{Action, AttemptState, NodeRecord, Outcome, Refusal, RunResult};
use serde_json::json;

use super::Trio;

/// The operation ends, and no node comes in by it.
pub(super) async fn ends_and_lets_nobody_in(trio: &Trio) {
    trio.agents.behave("pdu.off", 0, 1.0);
    trio.agents.behave("pdu.on", 0, 1.0);
    of_a_fence(trio).await;
    of_an_on(trio).await;
    before_the_start(trio).await;
    of_what_is_active(trio).await;
    for of in ["pdu.off", "pdu.on"] {
        trio.agents.behave(of, 0, 0.0);
    }
}

async fn break_record(trio: &Trio, key: &str) {
    trio.client(0).kv().put(key, "{").await.unwrap();
}

/// It is fenced; that it was not quarantined is not known.
async fn of_a_fence(trio: &Trio) {
    trio.add_target("fading").await;
    trio.run(0, "fading", Action::Off).await;
    let id = trio.ask(0, "fading", Action::Off).await;
    trio.wait_start("fading", 1).await;
    break_record(trio, "fence/nodes/fading").await;
    let op = trio.ended(0, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    let record = node(trio, "fading").await;
    assert_eq!((record.epoch, record.fenced.unwrap().op), (2, id));
    assert!(record.quarantined.is_some());
    assert_eq!(trio.agents.starts("fading").len(), 2);
}

/// What the record said may have kept the node out: it is left as it is.
async fn of_an_on(trio: &Trio) {
    trio.add_target("rising").await;
    let id = trio.ask(1, "rising", Action::On).await;
    trio.wait_start("rising", 0).await;
    break_record(trio, "fence/nodes/rising").await;
    let op = trio.ended(0, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    let view = trio.view(0).await.unwrap();
    assert!(view.malformed.contains_key("fence/nodes/rising"));
    // Only who mends or deletes it goes on.
    let op = trio.run(2, "rising", Action::On).await;
    let refused = Outcome::Refused(Refusal::Busy);
    assert_eq!(op.ended().unwrap().outcome, refused);
}

/// Nothing is started that the record may forbid.
async fn before_the_start(trio: &Trio) {
    trio.add_target("dim").await;
    let delayed = json!({ "delay_ms": 3000 });
    let (id, _) = trio.ask_with(2, ("dim", Action::Off), delayed).await;
    trio.wait_view(0, "an attempt", |view| {
        view.ops.get(&id)?.value.attempts.first().map(|_| ())
    })
    .await;
    break_record(trio, "fence/nodes/dim").await;
    let op = trio.ended(0, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Failed, "{op:#?}");
    for attempt in &op.attempts {
        let AttemptState::Ended { runs } = &attempt.state else {
            panic!("{op:#?}");
        };
        assert_eq!(runs[0].result, RunResult::Refused);
    }
    assert!(trio.agents.starts("dim").is_empty());
}

/// What is active is known from the operation; its end clears the key.
async fn of_what_is_active(trio: &Trio) {
    trio.add_target("blurred").await;
    let id = trio.ask(0, "blurred", Action::Off).await;
    trio.wait_start("blurred", 0).await;
    break_record(trio, "fence/active/blurred").await;
    let body = json!({ "who": "a test", "reason": "a test", "target": "blurred", "action": "off" });
    let (status, answer) = trio.send(1, reqwest::Method::POST, "run", &body).await;
    assert_eq!(
        (status, &answer["error"]),
        (409, &json!("busy")),
        "{answer}"
    );
    let op = trio.ended(0, &id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(node(trio, "blurred").await.epoch, 1);
    trio.run(1, "blurred", Action::Off).await;
    assert_eq!(node(trio, "blurred").await.epoch, 2);
    assert_eq!(trio.agents.starts("blurred").len(), 2);
}

async fn node(trio: &Trio, name: &str) -> NodeRecord {
    let view = trio.view(0).await.unwrap();
    view.nodes[&name.parse().unwrap()].value.clone()
}
