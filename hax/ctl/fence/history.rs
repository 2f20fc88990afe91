//! The operations, the newest first.

use clap::ValueEnum;
use serde::Deserialize;

use super::args::{ActionArg, Command};
use super::text::{action, clean, outcome, source, table, time, took};
use super::{Client, Done};
use crate::ctl::failure::Failure;
use crate::fence::model::{Operation, OutcomeKind, Phase};

#[derive(Debug, Deserialize)]
struct List {
    ops: Vec<Operation>,
}

/// [`Command::History`] only.
pub(super) async fn run(client: &Client, command: &Command) -> Result<Done, Failure> {
    let Command::History {
        target,
        action,
        outcome,
        limit,
    } = command
    else {
        return Ok(String::new().into());
    };
    let mut query = vec![("limit", limit.to_string())];
    query.extend(target.iter().map(|target| ("target", target.to_string())));
    query.extend(
        action
            .iter()
            .filter_map(|it: &ActionArg| name("action", it)),
    );
    query.extend(
        outcome
            .iter()
            .filter_map(|it: &OutcomeKind| name("outcome", it)),
    );
    let list = |list: List| render(&list.ops);
    client.show("/v1/fence/ops", query, list).await
}

/// The bridge has the same words.
fn name<T: ValueEnum>(key: &'static str, value: &T) -> Option<(&'static str, String)> {
    Some((key, value.to_possible_value()?.get_name().to_owned()))
}

pub(super) fn render(ops: &[Operation]) -> String {
    if ops.is_empty() {
        return "no operations\n".to_owned();
    }
    let rows = ops.iter().map(|op| {
        let (state, over) = match &op.phase {
            Phase::Requested => ("requested".to_owned(), String::new()),
            Phase::Held { .. } => ("HELD".to_owned(), String::new()),
            Phase::Active => ("active".to_owned(), String::new()),
            Phase::Ended(end) => {
                let over = took(end.at.0.saturating_sub(op.origin.at.0));
                (outcome(end.outcome), over)
            }
        };
        vec![
            time(op.origin.at),
            op.id.to_string(),
            format!("{} {}", action(op.action), op.target),
            state,
            over,
            format!("{}, {}", source(op.origin.source), clean(&op.origin.who)),
        ]
    });
    let head = ["ASKED FOR", "ID", "WHAT", "RESULT", "TOOK", "BY"];
    table(&head, rows)
}
