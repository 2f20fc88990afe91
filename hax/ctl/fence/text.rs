//! Text for terminals.

use std::time::Duration;

use comfy_table::{Table, presets};
use jiff::Timestamp;

use crate::ctl::failure::Failure;
use crate::fence::model::{Action, DeviceName, Ended, Outcome, RunResult, Source, UnixMillis};

/// How long a commit may take; the bridge itself waits for 30 s.
pub(super) const COMMIT: Duration = Duration::from_secs(40);
/// How long a look at a device may take; the bridge itself waits for 300 s.
pub(super) const DEVICE: Duration = Duration::from_secs(310);

/// The text without what a terminal would obey.
pub(in crate::ctl) fn clean(text: &str) -> String {
    let shown = |char: char| {
        let hidden = char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match (char, hidden) {
            ('\n' | '\t', _) => " ".to_owned(),
            (_, true) => char.escape_unicode().to_string(),
            _ => char.to_string(),
        }
    };
    text.chars().map(shown).collect()
}

/// Columns without lines, the same on a terminal and in a pipe.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(head);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

/// In UTC, to the second.
pub(super) fn time(at: UnixMillis) -> String {
    let at = i64::try_from(at.0).ok();
    let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(
        || "(no time)".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

/// Milliseconds, for people.
pub(super) fn took(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        120_000..7_200_000 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        7_200_000..172_800_000 => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The name of a result class.
pub(super) fn result(result: RunResult) -> &'static str {
    match result {
        RunResult::Success => "success",
        RunResult::Unreachable => "unreachable",
        RunResult::NotAcknowledged => "not-acknowledged",
        RunResult::Internal => "internal",
        RunResult::Timeout => "timeout",
        RunResult::Killed => "killed",
        RunResult::Refused => "refused",
        RunResult::NotInstalled => "not-installed",
        RunResult::Indeterminate => "indeterminate",
    }
}

/// The name of an outcome.
pub(super) fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Confirmed => "confirmed".to_owned(),
        Outcome::Failed => "failed".to_owned(),
        Outcome::Indeterminate => "indeterminate".to_owned(),
        Outcome::Refused(refusal) => format!("refused: {refusal}"),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Expired => "expired".to_owned(),
    }
}

/// The name of a source.
pub(super) fn source(source: Source) -> &'static str {
    match source {
        Source::Operator => "operator",
        Source::ProcessFailed => "process failed",
        Source::Escalation => "escalation",
        Source::NodeLost => "node lost",
        Source::Files => "request file",
        Source::Readmission => "readmission",
    }
}

/// What an action makes of a target.
pub(super) fn action(action: Action) -> &'static str {
    action.as_str()
}

/// One run, in a line.
pub(super) fn ended(ended: &Ended) -> String {
    let (result, took) = (result(ended.result), took(ended.took_ms));
    format!("{result} after {took}: {}", clean(&ended.evidence))
}

/// What a look at a device ends with.
pub(super) fn unless_success(device: &DeviceName, ended: &Ended) -> Option<Failure> {
    let failed = || Failure::FenceFailed(format!("{device}: {}", self::ended(ended)));
    (ended.result != RunResult::Success).then(failed)
}
