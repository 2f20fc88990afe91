//! Levels, several devices, and what a device's failure leads to.

use futures_util::future::join_all;
use hax::fence::model::{Action, Operation, Outcome, RunResult};

use super::{Line, QUICK, Shape, Trio};

const AGAIN: &str = "off_timeout = '4s', on_timeout = '4s', retries = 1";
const SIDE: &str = "off_timeout = '4s', on_timeout = '4s', retries = 0, parallel = true";

/// Who did what in the runs of a target.
fn runs(trio: &Trio, target: &str) -> Vec<String> {
    let lines = trio.agents.starts(target);
    let run = |line: &Line| format!("{} {}", line.device, line.action);
    lines.iter().map(run).collect()
}

fn results(op: &Operation) -> Vec<RunResult> {
    use hax::fence::model::AttemptState::Ended;
    let attempts = op.attempts.iter();
    let runs = attempts.filter_map(|attempt| match &attempt.state {
        Ended { runs } => Some(runs),
        _ => None,
    });
    runs.flatten().map(|run| run.result).collect()
}

#[tokio::test]
async fn levels_are_tried_in_order_and_all_devices_of_one_must_succeed() {
    let mut shape = Shape::of([
        ("good", QUICK),
        ("bad", AGAIN),
        ("deaf", QUICK),
        ("left", SIDE),
        ("right", SIDE),
        ("nobodys", "off_timeout = '4s', peers = ['nobody']"),
    ]);
    shape.usable -= 1;
    let shape = shape.with(
        "fence.level",
        "[{ target = 'second', level = 1, devices = ['bad'] }, \
          { target = 'second', level = 2, devices = ['good'] }, \
          { target = 'none', level = 1, devices = ['bad'] }, \
          { target = 'none', level = 5, devices = ['good', 'bad'] }, \
          { target = 'moved', level = 1, devices = ['deaf'] }, \
          { target = 'moved', level = 2, devices = ['good'] }, \
          { target = 'missing', level = 1, devices = ['nobodys'] }, \
          { target = 'missing', level = 2, devices = ['good'] }, \
          { target = 'over', level = 1, devices = ['good', 'bad'] }, \
          { target = 'over', level = 2, devices = ['good'] }, \
          { target = 'both', level = 1, devices = ['good', 'deaf'] }, \
          { target = 'aside', level = 1, devices = ['left', 'right'] }]",
    );
    let trio = Trio::start(&shape).await;
    trio.agents.behave("bad.off", 2, 0.0);
    trio.agents.behave("deaf.off", 1, 0.0);
    trio.agents.behave("left.off", 0, 0.5);
    trio.agents.behave("right.off", 0, 0.5);
    trio.agents.behave("deaf.on", 2, 0.0);
    let tests = ["second", "none", "moved", "missing", "over"].map(async |target| {
        trio.add_target(target).await;
        trio.run(0, target, Action::Off).await
    });
    let ops = join_all(tests).await;
    let outcomes: Vec<_> = ops.iter().map(|op| op.ended().unwrap().outcome).collect();
    use Outcome::{Failed, Succeeded};
    assert_eq!(
        outcomes,
        [Succeeded, Failed, Succeeded, Succeeded, Succeeded],
        "{ops:#?}"
    );
    // Not acknowledged: tried again, then the next level.
    assert_eq!(runs(&trio, "second"), ["bad off", "bad off", "good off"]);
    use RunResult::{NotAcknowledged, Success, Unreachable};
    assert_eq!(
        results(&ops[0]),
        [NotAcknowledged, NotAcknowledged, Success]
    );
    assert_eq!(
        runs(&trio, "none"),
        ["bad off", "bad off", "good off", "bad off", "bad off"]
    );
    // A part of a level is no fence: the next level is done whole.
    let over = ["good off", "bad off", "bad off", "good off"];
    assert_eq!(runs(&trio, "over"), over);
    // Unreachable: another peer.
    let moved = trio.agents.starts("moved");
    assert_eq!(results(&ops[2]).first(), Some(&Unreachable));
    assert_eq!(moved.last().unwrap().device, "good");
    let deaf: Vec<_> = moved.iter().filter(|line| line.device == "deaf").collect();
    assert!(!deaf.is_empty());
    assert_eq!(runs(&trio, "missing"), ["good off"]);
    trio.agents.no_overlap();

    // All off, then all on; when all are off it is fenced, whatever becomes of `on`.
    trio.add_target("both").await;
    trio.agents.behave("deaf.off", 0, 0.0);
    let op = trio.run(1, "both", Action::Reboot).await;
    assert_eq!(op.ended().unwrap().outcome, Succeeded, "{op:#?}");
    let both = runs(&trio, "both");
    assert_eq!(both[..3], ["good off", "deaf off", "good on"]);
    assert_eq!(both[3..].iter().filter(|run| *run != "deaf on").count(), 0);
    assert!(both.len() > 3);
    trio.agents.no_overlap();

    // Parallel devices are switched off at once, by one peer.
    trio.agents.allow_parallel();
    trio.add_target("aside").await;
    let op = trio.run(2, "aside", Action::Off).await;
    assert_eq!(op.ended().unwrap().outcome, Succeeded, "{op:#?}");
    assert_eq!(op.attempts.len(), 1);
    let (starts, ends) = (trio.agents.starts("aside"), trio.agents.ends("aside"));
    assert_eq!((starts.len(), ends.len()), (2, 2));
    assert!(starts[1].at < ends[0].at, "{starts:?} {ends:?}");
    assert_eq!(starts[0].peer, starts[1].peer);
}
