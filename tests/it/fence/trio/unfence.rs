//! `on`: which devices have to switch a node on, and where.

use hax::fence::model::{Action, Outcome};
use serde_json::json;

use super::{Line, QUICK, Shape, Trio};

const FABRIC: &str = "off_timeout = '4s', on_timeout = '4s', retries = 0, unfence = 'automatic'";
const OWN: &str = "off_timeout = '4s', on_timeout = '4s', retries = 0, unfence = 'on-target'";

/// Device and action of the runs of a target, from this one on.
fn runs(trio: &Trio, target: &str, from: usize) -> Vec<String> {
    let lines = trio.agents.starts(target).into_iter().skip(from);
    let run = |line: Line| format!("{} {}", line.device, line.action);
    lines.map(run).collect()
}

async fn fenced(trio: &Trio, node: &str) -> bool {
    let view = trio.view(0).await.unwrap();
    view.nodes[&node.parse().unwrap()].value.fenced.is_some()
}

#[tokio::test]
async fn a_node_is_switched_on_by_all_that_must_and_where_they_must() {
    let shape = Shape::of([
        ("pdu", QUICK),
        ("fab1", FABRIC),
        ("fab2", FABRIC),
        ("own", OWN),
    ]);
    let shape = shape.with(
        "fence.level",
        "[{ target = 'mixed', level = 1, devices = ['pdu', 'fab1'] }]",
    );
    let trio = Trio::start(&shape).await;
    required(&trio).await;
    without_hax(&trio).await;
    trio.agents.no_overlap();
}

/// A node whose hax lives has power: only what cuts it off counts, and all of that.
async fn required(trio: &Trio) {
    let target = trio.name(1).to_owned();
    let by_power = json!({ "device": "pdu" });
    let (off, _) = trio.ask_with(0, (&target, Action::Off), by_power).await;
    let op = trio.ended(0, &off).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    trio.agents.behave("fab2.on", 2, 0.0);
    let op = trio.run(0, &target, Action::On).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Failed, "{op:#?}");
    assert!(fenced(trio, &target).await);
    assert_eq!(runs(trio, &target, 1), ["fab1 on", "fab2 on"]);
    trio.agents.behave("fab2.on", 0, 0.0);
    let op = trio.run(2, &target, Action::On).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert!(!fenced(trio, &target).await);
    assert_eq!(runs(trio, &target, 3), ["fab1 on", "fab2 on", "own on"]);
    for line in trio.agents.starts(&target) {
        assert_eq!(line.peer == target, line.device == "own", "{line:?}");
    }
}

/// A node that is off is given power, and what it does itself has to wait. A reboot does not let it back to its
/// storage.
async fn without_hax(trio: &Trio) {
    trio.add_target("mixed").await;
    let op = trio.run(1, "mixed", Action::Reboot).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(runs(trio, "mixed", 0), ["pdu off", "fab1 off", "pdu on"]);
    let op = trio.run(1, "mixed", Action::On).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(runs(trio, "mixed", 3), ["pdu on", "fab1 on", "fab2 on"]);
    assert!(!fenced(trio, "mixed").await);
}
