//! What a command of haxctl ends with.

use std::process::ExitCode;

/// Why a command did not do what it was asked. Displayed as it is printed: one problem
/// per line.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Arguments that do not fit together.
    #[error("{0}")]
    Usage(String),
    /// A file of KV pairs that cannot be loaded as it is.
    #[error("{}", lines(.0))]
    BadData(Vec<String>),
    /// An input file that cannot be read.
    #[error("{0}")]
    NoInput(String),
    /// Consul or the bridge cannot be reached, or Consul has no leader.
    #[error("{0}")]
    Unavailable(String),
    /// What exists already differs, and `--force` was not given.
    #[error("{}", lines(.0))]
    Conflict(Vec<String>),
    /// A description of a cluster that is wrong.
    #[error("{}", lines(.0))]
    BadDescription(Vec<String>),
    /// Fencing is refused, or ended before it was done: cancelled, expired.
    #[error("{0}")]
    Refused(String),
    /// Fencing is refused because Consul has no leader.
    #[error("{0}")]
    NoQuorum(String),
    /// A fence has failed, or a device did not do what it was asked.
    #[error("{0}")]
    FenceFailed(String),
    /// Nobody knows whether the target is fenced.
    #[error("{0}")]
    Indeterminate(String),
    /// The operation goes on, but nobody waits for it.
    #[error("{0}")]
    GoesOn(String),
    /// An audit file is not as it was written.
    #[error("{0}")]
    AuditBroken(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The exit codes, for `--help`. Numbers from 64 on are those of `sysexits.h`.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failure; the reason is on stderr
  10  fencing was refused, cancelled, or has expired
  11  fencing was refused: Consul has no leader
  12  the fence has failed, or the device did not do what it was asked
  13  nobody knows whether the target is fenced
  14  the operation goes on; it was not waited for any longer
  15  the audit file is not as it was written
  64  wrong usage
  65  the file of KV pairs is wrong
  66  an input file cannot be read
  69  Consul or the bridge is unavailable
  73  something else is there already; nothing of it was overwritten
  78  the description of the cluster is wrong";

impl Failure {
    /// The exit code, as [`EXIT_CODES`] explains it.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Other(_) => 1,
            Failure::Refused(_) => 10,
            Failure::NoQuorum(_) => 11,
            Failure::FenceFailed(_) => 12,
            Failure::Indeterminate(_) => 13,
            Failure::GoesOn(_) => 14,
            Failure::AuditBroken(_) => 15,
            Failure::Usage(_) => 64,
            Failure::BadData(_) => 65,
            Failure::NoInput(_) => 66,
            Failure::Unavailable(_) => 69,
            Failure::Conflict(_) => 73,
            Failure::BadDescription(_) => 78,
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> ExitCode {
        ExitCode::from(failure.code())
    }
}

/// Most problems listed; the rest are counted.
const LISTED_MAX: usize = 50;

fn lines(problems: &[String]) -> String {
    let mut text = problems
        .iter()
        .take(LISTED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    if problems.len() > LISTED_MAX {
        text.push_str(&format!("\n… and {} more", problems.len() - LISTED_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let conflict = Failure::Conflict((0..53).map(|n| format!("key {n}")).collect());
        let text = conflict.to_string();
        assert_eq!(text.lines().count(), 51);
        assert!(text.ends_with("key 49\n… and 3 more"), "{text}");
    }

    #[test]
    fn every_exit_code_is_documented() {
        let failures = [
            Failure::Other(String::new()),
            Failure::Refused(String::new()),
            Failure::NoQuorum(String::new()),
            Failure::FenceFailed(String::new()),
            Failure::Indeterminate(String::new()),
            Failure::GoesOn(String::new()),
            Failure::AuditBroken(String::new()),
            Failure::Usage(String::new()),
            Failure::BadData(Vec::new()),
            Failure::NoInput(String::new()),
            Failure::Unavailable(String::new()),
            Failure::Conflict(Vec::new()),
            Failure::BadDescription(Vec::new()),
        ];
        for failure in failures {
            let line = format!("\n  {:>2}  ", failure.code());
            assert!(EXIT_CODES.contains(&line), "{line:?} is not documented");
        }
    }
}
