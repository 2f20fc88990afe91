//! From a guard's report to a result with evidence.

use std::time::Instant;

use crate::fence::model::{EVIDENCE_MAX, Ended, RunResult};

use super::guard::{Ending, Report};
use super::secrets::Secrets;

/// How an agent ended, as far as it matters for the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It ended by itself: what the exit code means is the action's matter.
    Exit(i32),
    /// It did not.
    Not(RunResult),
}

/// What the ending means.
pub(super) fn said(report: &Report) -> Said {
    Said::Not(match report.ending {
        Ending::Exited(code) => return Said::Exit(code),
        // TERM and KILL come from somebody; the others from what the agent has done.
        Ending::Signalled(15 | 9) | Ending::Cancelled | Ending::GuardLost => RunResult::Killed,
        Ending::Signalled(_) | Ending::Broken(_) => RunResult::Internal,
        Ending::TimedOut { .. } => RunResult::Timeout,
        Ending::TooLate => RunResult::Refused,
        Ending::NotExecuted(_) => RunResult::NotInstalled,
        Ending::Unkillable => RunResult::Indeterminate,
    })
}

/// What shows it: how it ended, and the last lines of the agent.
pub(super) fn evidence(report: &Report, secrets: &Secrets) -> String {
    let how = match &report.ending {
        Ending::Exited(code) => format!("exit {code}"),
        Ending::Signalled(signal) => format!("ended by signal {signal}"),
        Ending::TimedOut { killed: false } => "timeout: ended by TERM".to_owned(),
        Ending::TimedOut { killed: true } => "timeout: ended by KILL".to_owned(),
        Ending::Cancelled => "ended by hax, which was told to".to_owned(),
        Ending::TooLate => "not started: it was too late".to_owned(),
        Ending::NotExecuted(why) => secrets.blot(why),
        Ending::Unkillable => "KILL does not end it".to_owned(),
        Ending::GuardLost => "its guard was killed, and so was the agent".to_owned(),
        Ending::Broken(why) => secrets.blot(why),
    };
    let mut text = how;
    if report.remains > 0 {
        text.push_str(&format!(
            "; {} of its processes were left and killed",
            report.remains
        ));
    }
    for (name, tail) in [("stderr", &report.stderr), ("stdout", &report.stdout)] {
        let words = secrets.blot_tail(tail);
        let words = last_words(&words, EVIDENCE_MAX / 3);
        if !words.is_empty() {
            text.push_str(&format!("; {name}: {words}"));
        }
    }
    text
}

/// A result; the evidence is cut to its limit.
pub(super) fn ended(result: RunResult, evidence: impl Into<String>, since: Instant) -> Ended {
    let mut evidence = evidence.into();
    if evidence.len() > EVIDENCE_MAX {
        let mut end = EVIDENCE_MAX;
        while !evidence.is_char_boundary(end) {
            end -= 1;
        }
        evidence.truncate(end);
    }
    Ended {
        result,
        evidence,
        took_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// The last lines, in one line, without control characters.
fn last_words(text: &str, max: usize) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut words = lines.collect::<Vec<_>>().join(" | ");
    words.retain(|char| !char.is_control());
    let mut from = words.len().saturating_sub(max);
    while !words.is_char_boundary(from) {
        from += 1;
    }
    words.split_off(from)
}

#[cfg(test)]
mod tests {
    use super::super::guard::Tail;
    use super::*;

    #[test]
    fn the_last_lines_stay_without_secrets_within_the_limit() {
        let mut secrets = Secrets::default();
        secrets.add("hunter2");
        let mut report = Report::without_agent(Ending::Exited(1));
        let text = format!("{}\nlogin with hunter2\nlast\u{1b}[0m\n", "ä".repeat(2000));
        report.stderr = Tail { text, cut: 7 };
        let evidence = evidence(&report, &secrets);
        assert_eq!(evidence, "exit 1; stderr: login with *** | last[0m");
        let long = ended(RunResult::Internal, "ä".repeat(2000), Instant::now());
        assert_eq!(long.evidence.len(), EVIDENCE_MAX);
    }
}
