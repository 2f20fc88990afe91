//! `fence_recorder`: a fence agent that writes a request file and waits for its response.
//!
//! Only `on`, `off` and `reboot` become requests. All else is answered here: `monitor` makes the directories and
//! looks whether they can be used; `status`, `list` and `list-status` tell what a responder has published
//! ([`NodesFile`](super::NodesFile)), and nothing else.

mod fence;
mod guard;
mod log;
mod look;
mod metadata;
mod options;
mod settings;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use log::Logs;
use options::{Options, Verb};
use settings::Settings;

use super::dir::{Dir, Trust};
use super::exchange::Exchange;

/// Exit code of success, and of a status that is on.
const OK: u8 = 0;
/// Exit code of failure, and of a status that is not known.
const FAILED: u8 = 1;
/// Exit code of a status that is off.
const OFF: u8 = 2;

/// Runs the agent with the arguments of the command line, its own name first. Without arguments they are
/// read from stdin as `key=value`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if guard::is_guard(&args) {
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(args) {
        Ok(options) => options,
        Err(options::NoOptions::Told(code)) => return ExitCode::from(code),
        Err(options::NoOptions::Bad(error)) => return fail(&error),
    };
    ExitCode::from(run(&options))
}

fn fail(error: &str) -> ExitCode {
    say(error);
    ExitCode::from(FAILED)
}

/// One line on stderr, which goes to the log of whoever runs the agent.
fn say(line: &str) {
    let line = super::message::plain(line, 2048);
    writeln!(std::io::stderr(), "fence_recorder: {line}").ok();
}

fn print(text: &str) -> u8 {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => OK,
        Err(_) => FAILED,
    }
}

fn run(options: &Options) -> u8 {
    if options.verb == Verb::Metadata {
        return print(&metadata::xml());
    }
    let settings = match Settings::new(options, &|name| std::env::var_os(name)) {
        Ok(settings) => settings,
        Err(error) => {
            say(&error);
            return FAILED;
        }
    };
    match &options.verb {
        Verb::Metadata | Verb::ValidateAll => OK,
        Verb::Monitor => monitor(&settings),
        Verb::Status => match responses(&settings) {
            Ok(dir) => look::status(&dir, options),
            Err(code) => code,
        },
        Verb::List | Verb::ListStatus => match responses(&settings) {
            Ok(dir) => look::list(&dir, options),
            // Nobody has published anything; what is configured can still be told.
            Err(_) => look::list_plug(options),
        },
        Verb::Fence(action) => {
            let logs = Logs::open(&settings.log_dir, &settings.me);
            fence::run(*action, options, &settings, &logs)
        }
    }
}

fn monitor(settings: &Settings) -> u8 {
    match Exchange::make(&settings.request_dir, &settings.response_dir) {
        Ok(_) => OK,
        Err(error) => {
            say(&error.to_string());
            FAILED
        }
    }
}

fn responses(settings: &Settings) -> Result<Dir, u8> {
    Dir::open(&settings.response_dir, Trust::default()).map_err(|error| {
        say(&error.to_string());
        FAILED
    })
}
