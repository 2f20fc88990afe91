//! Withdraws the request of an agent that is killed: Pacemaker ends an agent that takes too long with KILL, to
//! its process group, and a request must not outlive whoever waits for it.
//!
//! The guard is the same program in a process group of its own. The agent holds its stdin, and says there
//! that all is in order; the end of stdin without that word is the end of the agent.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::log::{Event, Logs, Status};
use super::say;
use super::settings::Settings;
use crate::fence::files::exchange::{Exchange, Withdrawn};
use crate::fence::files::name::FileName;

/// The first argument of a guard.
const ARGUMENT: &str = "--guard-of-request";

/// The agent's end of it.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    /// Starts one, before the request is written.
    pub(super) fn start(settings: &Settings, action: &str, name: &FileName) -> Option<Self> {
        let spawn = || {
            Command::new(std::env::current_exe()?)
                .arg(ARGUMENT)
                .args([
                    &settings.request_dir,
                    &settings.response_dir,
                    &settings.log_dir,
                ])
                .args([action, &name.to_string()])
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
        };
        let spawned: std::io::Result<Child> = spawn();
        spawned
            .inspect_err(|error| {
                say(&format!(
                    "no guard: {error}; a request outlives an agent that is killed"
                ));
            })
            .ok()
            .map(Self)
    }

    /// The request is answered, or withdrawn.
    pub(super) fn dismiss(mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            stdin.write_all(b"x").ok();
        }
        self.0.wait().ok();
    }
}

/// Does the work of a guard, if these arguments are those of one.
pub(super) fn is_guard(args: &[OsString]) -> bool {
    let [_, first, requests, responses, logs, action, name] = args else {
        return false;
    };
    if first != ARGUMENT {
        return false;
    }
    let mut word = [0];
    if !matches!(std::io::stdin().read(&mut word), Ok(1)) {
        let me = rustix::system::uname();
        let me = me.nodename().to_string_lossy().into_owned();
        withdraw(
            requests,
            responses,
            action,
            name,
            &Logs::open(Path::new(logs), &me),
        );
    }
    true
}

fn withdraw(requests: &OsStr, responses: &OsStr, action: &OsStr, name: &OsStr, logs: &Logs) {
    let (Some(action), Some(name)) = (action.to_str(), name.to_str()) else {
        return;
    };
    let Ok(name) = name.parse::<FileName>() else {
        return;
    };
    let opened = Exchange::open(Path::new(requests), Path::new(responses));
    let details = match opened.map(|exchange| exchange.withdraw_file(&name)) {
        Ok(Ok(Withdrawn::Back)) => "the agent was killed; the request is withdrawn".to_owned(),
        Ok(Ok(Withdrawn::Taken)) => {
            "the agent was killed; a responder has taken the request, and how it ends is not known"
                .to_owned()
        }
        Ok(Err(error)) => format!("the agent was killed; the request cannot be withdrawn: {error}"),
        Err(error) => format!("the agent was killed; the request cannot be withdrawn: {error}"),
    };
    logs.event(Event {
        action,
        target: name.node().as_str(),
        status: Status::Failed,
        details: &details,
    });
}
