//! One request from its file to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::guard::Guard;
use super::log::{Event, Logs, Status};
use super::options::Options;
use super::settings::Settings;
use super::{FAILED, OK, say};
use crate::fence::files::exchange::{Exchange, Heard, Pending, Withdrawn};
use crate::fence::files::message::{Request, Response};
use crate::fence::files::watch::Watch;
use crate::fence::model::Action;

/// Asks, waits, and tells how it ended.
pub(super) fn run(action: Action, options: &Options, settings: &Settings, logs: &Logs) -> u8 {
    let Some(target) = options.target() else {
        return FAILED;
    };
    let event = |status, details: &str| {
        logs.event(Event {
            action: action.as_str(),
            target: target.as_str(),
            status,
            details,
        });
    };
    let request = Request::new(action, target.clone(), settings.me.clone());
    event(
        Status::Requested,
        &format!("request {}", request.request_id),
    );
    let (code, status, details) = match ask(request, options, settings) {
        Ok(response) if response.success => (OK, Status::Completed, response.message),
        Ok(response) => (FAILED, Status::Failed, response.message),
        Err(why) => (FAILED, Status::Failed, why),
    };
    event(status, &details);
    if code != OK || options.verbose {
        say(&format!("{} of {target}: {details}", action.as_str()));
    }
    code
}

fn ask(request: Request, options: &Options, settings: &Settings) -> Result<Response, String> {
    // Before the request is written: a signal must never leave it there.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let registered = signal_hook::flag::register(signal, Arc::clone(&stop));
        registered.map_err(|error| format!("signal {signal} cannot be handled: {error}"))?;
    }
    let exchange = Exchange::make(&settings.request_dir, &settings.response_dir)
        .map_err(|error| error.to_string())?;
    match exchange.clean(&settings.me, settings.timeout, settings.max_age) {
        Ok(removed) if removed > 0 && options.verbose => {
            say(&format!("{removed} old files removed"));
        }
        Ok(_) => {}
        Err(error) => say(&format!("old files cannot be removed: {error}")),
    }
    let watch = Watch::new(exchange.responses.path());
    let until = Instant::now() + settings.timeout;
    let name = request.file().map_err(|why| why.to_string())?;
    let guard = Guard::start(settings, &request.action, &name);
    let ended = exchange
        .publish(request)
        .map_err(|why| why.to_string())
        .and_then(|pending| answered(&exchange, &pending, &watch, settings, until, &stop));
    if let Some(guard) = guard {
        guard.dismiss();
    }
    ended
}

fn answered(
    exchange: &Exchange,
    pending: &Pending,
    watch: &Watch,
    settings: &Settings,
    until: Instant,
    stop: &AtomicBool,
) -> Result<Response, String> {
    match wait(exchange, pending, watch, settings, until, stop) {
        Ok(response) => {
            if let Err(error) = exchange.finish(pending) {
                say(&format!(
                    "the request is answered, but cannot be removed: {error}"
                ));
            }
            Ok(response)
        }
        Err(why) => withdraw(exchange, pending, &why),
    }
}

fn wait(
    exchange: &Exchange,
    pending: &Pending,
    watch: &Watch,
    settings: &Settings,
    until: Instant,
    stop: &AtomicBool,
) -> Result<Response, String> {
    let mut unfit: Option<String> = None;
    loop {
        match exchange.hear(pending) {
            Heard::Answer(response) => return Ok(response),
            Heard::Wrong(why) => return Err(format!("the response does not count: {why}")),
            Heard::Unfit(why) if unfit.as_ref() != Some(&why) => {
                say(&format!("the response does not count yet: {why}"));
                unfit = Some(why);
            }
            Heard::Unfit(_) | Heard::Nothing => {}
        }
        if stop.load(Ordering::Relaxed) {
            return Err("ended by a signal".to_owned());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let timeout = settings.timeout.as_secs_f64();
            let unfit = unfit.map_or(String::new(), |why| format!("; what is there: {why}"));
            return Err(format!("no response within {timeout} s{unfit}"));
        }
        watch.wait(left.min(settings.poll));
    }
}

/// Takes the request back. If a responder has taken it first, its response may have come meanwhile.
fn withdraw(exchange: &Exchange, pending: &Pending, why: &str) -> Result<Response, String> {
    match exchange.withdraw(pending) {
        Ok(Withdrawn::Back) => Err(format!("{why}; the request is withdrawn")),
        Ok(Withdrawn::Taken) => match exchange.hear(pending) {
            Heard::Answer(response) => Ok(response),
            _ => Err(format!(
                "{why}; a responder has taken the request, and how it ends is not known"
            )),
        },
        Err(error) => Err(format!("{why}; the request cannot be withdrawn: {error}")),
    }
}
