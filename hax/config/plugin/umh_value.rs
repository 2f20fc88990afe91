//! Values of rules. As elsewhere, a parser says why it refuses. Commands and the values of the environment
//! may hold secrets: no reason quotes them.

use std::collections::BTreeSet;

use regex::RegexBuilder;

use super::model::{State, Test};
use crate::config::reader::Scalar;
use crate::plugin::EventKind;

/// Bytes of a rule's name.
const NAME_MAX: usize = 64;
/// Bytes of one argument, of a line for the shell, and of a variable's value.
const LONG_MAX: usize = 16 * 1024;
/// Bytes of the name of a variable.
const VARIABLE_MAX: usize = 128;
/// Bytes of what a field is compared with.
const OPERAND_MAX: usize = 1024;
/// Bytes of a compiled expression.
const REGEX_SIZE_MAX: usize = 1 << 20;

const OPERATORS: &str = "Equals, NotEquals, Matches";

pub(super) fn rule_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("is empty; leave the key out for a name by number".to_owned()),
        _ if text.len() > NAME_MAX => Err(format!("is longer than {NAME_MAX} bytes")),
        _ if text.chars().any(char::is_control) => Err("has a control character".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn fits(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err("has a NUL character".to_owned());
    }
    if text.len() > LONG_MAX {
        return Err(format!("is longer than {LONG_MAX} bytes"));
    }
    Ok(())
}

/// A line for the shell.
pub(super) fn line(line: String) -> Result<String, String> {
    if line.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    fits(&line)?;
    Ok(line)
}

/// A program and its arguments.
pub(super) fn program(words: Vec<String>) -> Result<Vec<String>, String> {
    let Some(program) = words.first() else {
        return Err("is empty; an absolute path is wanted, then arguments".to_owned());
    };
    if !program.starts_with('/') {
        return Err(
            "does not begin with an absolute path; nothing is searched for in PATH".to_owned(),
        );
    }
    words
        .iter()
        .try_for_each(|word| fits(word).map_err(|why| format!("has an argument that {why}")))?;
    Ok(words)
}

/// A variable of the environment.
pub(super) fn variable(name: &str, value: Scalar<'_>) -> Result<(String, String), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(fine);
    if name.is_empty() || !plain {
        return Err("is not the name of a variable: letters, digits and `_`".to_owned());
    }
    if name.len() > VARIABLE_MAX {
        return Err(format!("has a name longer than {VARIABLE_MAX} bytes"));
    }
    if name.starts_with("HAX_") || name.starts_with("DRBD_") {
        return Err("HAX_… and DRBD_… say what has happened; use another name".to_owned());
    }
    let Scalar::Text(value) = value else {
        return Err(format!("expected a string, got: {}", value.type_str()));
    };
    fits(value)?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn event(word: &str) -> Result<EventKind, String> {
    const ALL: [EventKind; 4] = [
        EventKind::Exists,
        EventKind::Create,
        EventKind::Change,
        EventKind::Destroy,
    ];
    if let Some(kind) = ALL.iter().find(|kind| kind.word() == word) {
        return Ok(*kind);
    }
    let near = ALL
        .iter()
        .find(|kind| kind.word().eq_ignore_ascii_case(word));
    Err(match near {
        Some(kind) => format!("{word:?} is written in lower case: {:?}", kind.word()),
        None => format!("{word:?} is not one of exists, create, change, destroy"),
    })
}

/// Why a test of this state can match no event of these kinds.
pub(super) fn never(events: &BTreeSet<EventKind>, state: State) -> Option<&'static str> {
    let has = |kinds: &[EventKind]| kinds.iter().any(|kind| events.contains(kind));
    match state {
        State::Old if !has(&[EventKind::Change, EventKind::Destroy]) => Some(
            "never matches: `events` has neither change nor destroy, and others have no old state",
        ),
        State::New if !has(&[EventKind::Exists, EventKind::Create, EventKind::Change]) => {
            Some("never matches: `events` has only destroy, which has no new state")
        }
        _ => None,
    }
}

/// The test of a field.
pub(super) fn test(
    field: &str,
    operator: Option<&str>,
    operand: Scalar<'_>,
) -> Result<Test, String> {
    let text = match operand {
        // DRBD says why, and only `no` where it is not.
        Scalar::Boolean(_) if matches!(field, "suspended" | "resync_suspended") => {
            return Err(
                "is \"no\", or the reason, here; for any reason write { operator = \"NotEquals\", \
                        value = \"no\" }"
                    .to_owned(),
            );
        }
        Scalar::Text(text) => text.to_owned(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Boolean(value) => value.to_string(),
        Scalar::Other(found) => return Err(format!("is not a value to compare with: {found}")),
    };
    if text.len() > OPERAND_MAX {
        return Err(format!("is longer than {OPERAND_MAX} bytes"));
    }
    match operator {
        None | Some("Equals") => Ok(Test::Equals(text)),
        Some("NotEquals") => Ok(Test::NotEquals(text)),
        Some("Matches") => regex(&text),
        Some(other) => Err(format!("the operator {other:?} is not one of {OPERATORS}")),
    }
}

fn regex(text: &str) -> Result<Test, String> {
    let built = RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).build();
    built.map(Test::Matches).map_err(|error| {
        let words = error.to_string();
        let last = words.lines().last().unwrap_or_default();
        let last = last.trim_start_matches("error: ");
        format!("{text:?} is not a regular expression: {last}")
    })
}
