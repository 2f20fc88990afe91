//! How an operation ended, in one word.

use clap::ValueEnum;
use serde::Deserialize;

use super::op::{Operation, Outcome};

/// How an operation ended, in one word: what lists of operations can be narrowed to, over HTTP and on
/// the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// It has not ended
    Open,
    /// Every step of a level was confirmed
    Succeeded,
    /// An operator has confirmed it
    Confirmed,
    /// No level could do it
    Failed,
    /// Nobody knows
    Indeterminate,
    /// It was never begun
    Refused,
    /// An operator ended it
    Cancelled,
    /// It was not begun in time
    Expired,
}

impl OutcomeKind {
    /// That of an operation.
    pub fn of(op: &Operation) -> Self {
        match op.ended().map(|end| end.outcome) {
            None => Self::Open,
            Some(Outcome::Succeeded) => Self::Succeeded,
            Some(Outcome::Confirmed) => Self::Confirmed,
            Some(Outcome::Failed) => Self::Failed,
            Some(Outcome::Indeterminate) => Self::Indeterminate,
            Some(Outcome::Refused(_)) => Self::Refused,
            Some(Outcome::Cancelled) => Self::Cancelled,
            Some(Outcome::Expired) => Self::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command line sends its own word, and HTTP reads it.
    #[test]
    fn the_command_line_and_http_have_the_same_words() {
        for kind in OutcomeKind::value_variants() {
            let word = kind.to_possible_value().unwrap();
            let read: OutcomeKind = serde_json::from_value(word.get_name().into()).unwrap();
            assert_eq!(read, *kind);
        }
    }
}
