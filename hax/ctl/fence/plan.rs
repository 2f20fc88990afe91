//! What a fence would do.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::Value;

use super::text::{COMMIT, action, clean, took};
use super::{Client, Done, parsed};
use crate::ctl::bridge::Call;
use crate::ctl::failure::Failure;
use crate::fence::PlanReport;

pub(super) async fn run(
    client: &Client,
    query: Vec<(&'static str, String)>,
) -> Result<Done, Failure> {
    let mut call = Call::new(Method::GET, "/v1/fence/plan");
    (call.query, call.patience) = (query, COMMIT);
    let value: Value = client.bridge.ask(call).await?;
    let report: PlanReport = parsed(value.clone())?;
    let mut done = client.render(value, |report: PlanReport| render(&report))?;
    if report.plan.is_none() {
        let why = report
            .gates
            .first()
            .map_or("there is no plan", |why| why.as_str());
        let why = format!(
            "{} of {} would be refused: {}",
            action(report.action),
            report.target,
            clean(why)
        );
        done.failure = Some(Failure::Refused(why));
    }
    Ok(done)
}

pub(super) fn render(report: &PlanReport) -> String {
    let mut text = String::new();
    let (what, target) = (action(report.action), &report.target);
    let _ = writeln!(text, "{what} of {target}; nothing was started");
    for gate in &report.gates {
        let _ = writeln!(text, "gate: {}", clean(gate));
    }
    let Some(plan) = &report.plan else {
        return text;
    };
    let _ = writeln!(
        text,
        "it takes {} at most ({} ms); epoch {}",
        took(report.worst_ms),
        report.worst_ms,
        plan.epoch
    );
    // Planned steps are those of the levels, in the same order.
    let mut planned = report.steps.iter();
    for (number, level) in plan.levels.iter().enumerate() {
        let otherwise = if number == 0 { "" } else { ", if that fails" };
        let name = match level.level {
            0 => "without levels".to_owned(),
            level => format!("level {level}"),
        };
        let _ = writeln!(text, "\n{name}{otherwise}");
        for step in &level.steps {
            let _ = write!(text, "  {} through {}", action(step.action), step.device);
            let tries = if step.tries == 1 { "try" } else { "tries" };
            let _ = write!(
                text,
                ": {} {tries} of {} at most",
                step.tries,
                took(step.run_max_ms)
            );
            match (step.delay_ms, step.delay_max_ms) {
                (0, 0) => {}
                (delay, 0) => _ = write!(text, ", after {}", took(delay)),
                (delay, random) => {
                    let random = took(delay.saturating_add(random));
                    _ = write!(text, ", after {} to {random}", took(delay));
                }
            }
            if step.on_target {
                text.push_str(", on the target itself");
            }
            if !step.required {
                text.push_str(", its failure does not count");
            }
            text.push('\n');
            let Some(planned) = planned.next() else {
                continue;
            };
            let peers = planned.peers.iter();
            let peers = peers.map(|(peer, verified)| {
                format!("{peer}{}", if *verified { "" } else { " (not verified)" })
            });
            let peers: Vec<String> = peers.collect();
            let peers = match peers.is_empty() {
                true => "nobody".to_owned(),
                false => peers.join(", "),
            };
            let _ = writeln!(
                text,
                "    from {peers}; {} at most in all",
                took(planned.worst_ms)
            );
            for (key, value) in &planned.input {
                let _ = writeln!(text, "    {}={}", clean(key), clean(value));
            }
        }
    }
    text
}
