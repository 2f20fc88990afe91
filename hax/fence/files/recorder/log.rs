//! The three logs of events. Each entry is one write to a file that is open for appending, so that entries of
//! agents that run at the same time do not mix; a log that cannot be written never keeps a fence back.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;

use super::say;
use crate::fence::files::message::{now, plain};

/// Bytes of the details of an entry.
const DETAILS_MAX: usize = 1024;

/// What has become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Requested,
    Completed,
    Failed,
}

/// An event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) action: &'a str,
    pub(super) target: &'a str,
    pub(super) status: Status,
    pub(super) details: &'a str,
}

#[derive(Serialize)]
struct Detailed<'a> {
    timestamp: &'a str,
    action: &'a str,
    target_node: &'a str,
    status: Status,
    details: &'a str,
    recorder_node: &'a str,
}

/// The logs.
#[derive(Debug)]
pub(super) struct Logs {
    plain: Option<File>,
    readable: Option<File>,
    detailed: Option<File>,
    me: String,
}

impl Logs {
    pub(super) fn open(dir: &Path, me: &str) -> Self {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(dir);
        if let Err(error) = made {
            say(&format!(
                "{}: {error}; events are not logged",
                dir.display()
            ));
        }
        let open = |name: &str| {
            let path = dir.join(name);
            // Not through a link: the agent is root, and the directory may be another's.
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o640)
                .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
                .open(&path);
            file.inspect_err(|error| say(&format!("{}: {error}", path.display())))
                .ok()
        };
        Self {
            plain: open("fence-events.log"),
            readable: open("fence-events-readable.log"),
            detailed: open("fence-events-detailed.jsonl"),
            me: me.to_owned(),
        }
    }

    pub(super) fn event(&self, event: Event<'_>) {
        let timestamp = now();
        let details = plain(event.details, DETAILS_MAX);
        let status = match event.status {
            Status::Requested => "requested",
            Status::Completed => "completed",
            Status::Failed => "failed",
        };
        let Event { action, target, .. } = event;
        let me = &self.me;
        append(
            self.plain.as_ref(),
            &format!("{timestamp} {me} fence {action} of {target} {status}: {details}\n"),
        );
        append(
            self.readable.as_ref(),
            &format!(
                "{timestamp} ACTION={action} TARGET={target} STATUS={status} DETAILS={details}\n"
            ),
        );
        let detailed = Detailed {
            timestamp: &timestamp,
            action,
            target_node: target,
            status: event.status,
            details: &details,
            recorder_node: me,
        };
        if let Ok(mut line) = serde_json::to_string(&detailed) {
            line.push('\n');
            append(self.detailed.as_ref(), &line);
        }
    }
}

fn append(file: Option<&File>, line: &str) {
    if let Some(mut file) = file
        && let Err(error) = file.write_all(line.as_bytes())
    {
        say(&format!("an event is not logged: {error}"));
    }
}
