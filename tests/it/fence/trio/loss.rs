//! Answers of Consul that are lost or late, and transactions that arrive late, at every step of an
//! operation. What has happened is judged by the devices.

use std::time::Duration;

use futures_util::future::join_all;
use hax::fence::model::{Action, AttemptState, Operation, Outcome, RunResult};
use serde_json::Value;

use super::{Shape, Trio};
use crate::faults::proxy::{Ambush, Fault};

/// The transactions of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Request,
    Activate,
    Delegate,
    Start,
    Finish,
    End,
}

const STAGES: [Stage; 6] = [
    Stage::Request,
    Stage::Activate,
    Stage::Delegate,
    Stage::Start,
    Stage::Finish,
    Stage::End,
];

impl Stage {
    /// Which of them writes this record.
    pub(super) fn of(op: &Value) -> Option<Self> {
        let last = op["attempts"].as_array().and_then(|all| all.last());
        let state = last.map(|attempt| attempt["state"]["state"].as_str());
        Some(match (op["phase"]["phase"].as_str()?, state.flatten()) {
            ("requested", _) => Self::Request,
            ("active", None) => Self::Activate,
            ("active", Some("delegated")) => Self::Delegate,
            ("active", Some("running")) => Self::Start,
            ("active", Some("ended")) => Self::Finish,
            ("ended", _) => Self::End,
            _ => return None,
        })
    }
}

/// Fences a target while one transaction of it meets a fault.
async fn fence(trio: &Trio, by: usize, stage: Stage, fault: Fault) -> Operation {
    let target = format!("{stage:?}-{fault:?}").to_lowercase();
    let target = target.replace(['(', ')', '.'], "-");
    let target = target.trim_end_matches('-').to_owned();
    trio.add_target(&target).await;
    let name = target.clone();
    let ambush = Ambush::new(fault, move |writes| {
        let ops = writes
            .iter()
            .filter(|(key, _)| key.starts_with("fence/ops/"));
        let mut ops = ops.map(|(_, op)| serde_json::from_str::<Value>(op).unwrap());
        ops.any(|op| op["target"] == *name && Stage::of(&op) == Some(stage))
    });
    for proxy in &trio.proxies {
        proxy.ambush(&ambush);
    }
    let op = trio.run(by, &target, Action::Off).await;
    assert!(ambush.is_over(), "{target}: {op:#?}");
    op
}

/// Whatever was lost: it is fenced by one run, and the epoch has grown once.
async fn once(trio: &Trio, op: &Operation) {
    let target = op.target.to_string();
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(trio.agents.starts(&target).len(), 1, "{op:#?}");
    assert_eq!(trio.agents.ends(&target).len(), 1, "{op:#?}");
    let view = trio.view(0).await.unwrap();
    let node = &view.nodes[op.target.node()].value;
    let fenced = node.fenced.as_ref().map(|fenced| &fenced.op);
    assert_eq!((node.epoch, fenced), (1, Some(&op.id)), "{op:#?}");
    assert_eq!(&view.ops[&op.id].value, op);
    assert!(!view.active.contains_key(&op.target));
}

#[tokio::test]
async fn a_lost_or_late_answer_is_looked_up_and_nothing_is_done_twice() {
    let device = "off_timeout = '8s', concurrency = 16, retries = 1";
    let shape = Shape::of([("pdu", device)]).with("consul.timeout", "'3s'");
    let shape = shape.with("fence.history_max", "10");
    let trio = Trio::start(&Shape {
        proxied: true,
        ..shape
    })
    .await;
    for fault in [Fault::Close, Fault::Unheard, Fault::Keep] {
        let stages = STAGES.iter().zip([0, 1, 2].into_iter().cycle());
        let ops = stages.map(|(stage, by)| fence(&trio, by, *stage, fault));
        let ops = join_all(ops).await;
        // What was kept arrives when all is over.
        for proxy in &trio.proxies {
            let answers = proxy.release().await;
            assert!(answers.iter().all(|status| *status == 409), "{answers:?}");
        }
        for op in &ops {
            once(&trio, op).await;
        }
    }
    let last = in_time_or_not(&trio).await;
    // What has ended is forgotten, the oldest first.
    let view = trio
        .wait_view(0, "a short history", |view| {
            (view.ops.len() <= 10).then(|| view.clone())
        })
        .await;
    assert_eq!(view.ops.len(), 10);
    assert!(last.iter().all(|op| view.ops.contains_key(&op.id)));
    trio.agents.no_overlap();
}

/// **start** is answered, but beyond the window in which an agent may be spawned.
async fn in_time_or_not(trio: &Trio) -> [Operation; 2] {
    let late = fence(
        trio,
        0,
        Stage::Start,
        Fault::Late(Duration::from_millis(2500)),
    );
    let soon = fence(
        trio,
        1,
        Stage::Start,
        Fault::Late(Duration::from_millis(300)),
    );
    let (late, soon) = tokio::join!(late, soon);
    once(trio, &late).await;
    once(trio, &soon).await;
    assert!(late.attempts.len() > 1, "{late:#?}");
    let AttemptState::Ended { runs } = &late.attempts[0].state else {
        panic!("{late:#?}");
    };
    assert_eq!(runs[0].result, RunResult::Refused, "{late:#?}");
    [late, soon]
}
