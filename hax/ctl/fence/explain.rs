//! All about one operation.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use super::text::{action, clean, outcome, result, source, table, time, took};
use super::{Client, Done, parsed};
use crate::ctl::failure::Failure;
use crate::fence::model::{
    Attempt, AttemptState, NodeRecord, OpId, Operation, Origin, Outcome, Phase, Target,
};
use crate::http::fence::Status;

pub(super) async fn run(client: &Client, id: &OpId) -> Result<Done, Failure> {
    let path = format!("/v1/fence/ops/{id}");
    let value: Value = client.bridge.request(Method::GET, &path).await?;
    let op: Operation = parsed(value.clone())?;
    let status: Status = client.bridge.request(Method::GET, "/v1/fence").await?;
    let node = status
        .nodes
        .into_iter()
        .find(|row| row.node == *op.target.node());
    let node = node.map(|row| row.record);
    let meaning = meaning(&op, node.as_ref());
    if client.json {
        let value = json!({ "operation": value, "node": node, "meaning": meaning });
        return Ok(format!("{value:#}\n").into());
    }
    Ok(render(&op, &meaning).into())
}

pub(super) fn render(op: &Operation, meaning: &str) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "operation {}: {} of {}",
        op.id,
        action(op.action),
        op.target
    );
    line(&mut text, "asked for", &asked(&op.origin));
    for origin in &op.joined {
        line(&mut text, "joined", &asked(origin));
    }
    if let Some(device) = &op.options.device {
        line(&mut text, "only", &format!("through {device}"));
    }
    if let Some(by) = &op.options.overridden {
        line(
            &mut text,
            "gates",
            &format!("passed, by override of {}", clean(by)),
        );
    }
    if let Phase::Held { reason, since } = &op.phase {
        let held = format!("held since {}: {}", time(*since), clean(reason));
        line(&mut text, "gates", &held);
    }
    line(&mut text, "driver", op.driver.as_str());
    if let Some(plan) = &op.plan {
        let levels = plan.levels.iter().map(|level| {
            let steps = level.steps.iter();
            let steps =
                steps.map(|step| format!("{} through {}", action(step.action), step.device));
            let steps: Vec<String> = steps.collect();
            format!("level {}: {}", level.level, steps.join(", "))
        });
        let levels: Vec<String> = levels.collect();
        let plan = format!("for epoch {}; {}", plan.epoch, levels.join("; else "));
        line(&mut text, "plan", &plan);
    }
    if !op.attempts.is_empty() {
        let rows = op.attempts.iter().enumerate();
        let rows = rows.flat_map(|(number, attempt)| attempt_rows(op, number, attempt));
        let head = ["#", "STEP", "PEER", "RESULT", "TOOK", "EVIDENCE"];
        let _ = write!(text, "\n{}\n", table(&head, rows));
    }
    let end = match &op.phase {
        Phase::Ended(end) => {
            let after = took(end.at.0.saturating_sub(op.origin.at.0));
            let (outcome, at) = (outcome(end.outcome), time(end.at));
            format!(
                "{outcome}, at {at} ({after} after it was asked for): {}",
                clean(&end.detail)
            )
        }
        _ => "it has not ended".to_owned(),
    };
    line(&mut text, "end", &end);
    line(&mut text, "means", meaning);
    text
}

fn line(text: &mut String, name: &str, what: &str) {
    let _ = writeln!(text, "{name:<10} {what}");
}

fn asked(origin: &Origin) -> String {
    format!(
        "{} at {} by {} ({}): {}",
        time(origin.at),
        origin.node,
        clean(&origin.who),
        source(origin.source),
        clean(&origin.reason)
    )
}

/// One for each step.
fn attempt_rows(op: &Operation, number: usize, attempt: &Attempt) -> Vec<Vec<String>> {
    let verified = if attempt.verified {
        ""
    } else {
        " (not verified)"
    };
    let row = |at: usize, step: String| {
        let (state, took, evidence) = match &attempt.state {
            AttemptState::Delegated => ("delegated".to_owned(), String::new(), String::new()),
            AttemptState::Running { session, since } => {
                let evidence = format!("since {}, session {}", time(*since), clean(session));
                ("running".to_owned(), String::new(), evidence)
            }
            AttemptState::Ended { runs } => match runs.get(at) {
                Some(run) => {
                    let state = format!("{} {}", run.result.code(), result(run.result));
                    (state, took(run.took_ms), clean(&run.evidence))
                }
                None => ("(no result)".to_owned(), String::new(), String::new()),
            },
        };
        let peer = format!("{}{verified}", attempt.peer);
        vec![(number + 1).to_string(), step, peer, state, took, evidence]
    };
    let steps = op.steps_of(attempt);
    let steps = steps.map(|step| format!("{} through {}", action(step.action), step.device));
    steps.enumerate().map(|(at, step)| row(at, step)).collect()
}

/// What an operation means for its target, with the record of its node as it is now.
pub(super) fn meaning(op: &Operation, node: Option<&NodeRecord>) -> String {
    let name = op.target.node();
    let now = match node {
        None => format!("{name} was never fenced"),
        Some(record) => {
            let state = match (&record.fenced, &record.quarantined) {
                (Some(fenced), _) if fenced.op == op.id => "fenced, by this".to_owned(),
                (Some(fenced), _) => format!("fenced, by {}", fenced.op),
                (None, _) => "not fenced".to_owned(),
            };
            let quarantined = record.quarantined.as_ref().map(|why| {
                format!(
                    " It is quarantined ({}): only `haxctl fence release {name}` brings it back.",
                    clean(why)
                )
            });
            format!(
                "now {name} is {state}, at epoch {}.{}",
                record.epoch,
                quarantined.unwrap_or_default()
            )
        }
    };
    let Some(end) = op.ended() else {
        return format!("nothing is decided; {now}");
    };
    let target = &op.target;
    let what = match (end.outcome, target) {
        (outcome, _) if outcome.is_success() && !op.action.fences() => {
            format!("{target} may take part again")
        }
        (outcome, Target::Node(_)) if outcome.is_success() => format!(
            "{target} was cut off: FAILED is told of all its processes, and it gets no entrypoint, until it is \
             back"
        ),
        (outcome, Target::Process { .. }) if outcome.is_success() => {
            format!("{target} has ended: FAILED is told of it, until it speaks again")
        }
        (Outcome::Indeterminate, _) => format!(
            "{target} may be cut off or not: TRANSIENT is told. Make sure of it, then `haxctl fence confirm \
             {target}`, or fence it again"
        ),
        _ => format!(
            "it has changed nothing for {target}: TRANSIENT is told until a fence is confirmed"
        ),
    };
    format!("{what}; {now}")
}
