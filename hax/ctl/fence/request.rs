//! A fence, and the wait for its end.

use std::io::{self, Write};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};

use super::args::Run;
use super::text::{self, COMMIT, clean};
use super::{Client, Done, explain, parsed, who};
use crate::ctl::bridge::Call;
use crate::ctl::failure::Failure;
use crate::fence::Taken;
use crate::fence::model::{OpId, Operation, Outcome, Refusal};
use crate::http::fence::RunBody;

/// How long the bridge is to wait, in seconds, before it is asked again.
const POLL: u64 = 30;
/// Between two questions to a bridge that is busy or away.
const PAUSE: Duration = Duration::from_secs(1);
/// Questions in a row that a bridge may leave unanswered.
const AWAY_MAX: u32 = 30;

/// Why nobody waits any longer.
enum Stopped {
    /// SIGINT.
    Interrupted,
    /// `--timeout`.
    Late,
}

pub(super) async fn run(client: &Client, args: &Run) -> Result<Done, Failure> {
    let body = RunBody {
        target: args.target.clone(),
        action: args.action.into(),
        who: who::caller(),
        reason: args.reason.clone(),
        tolerance_ms: text::millis(args.tolerance),
        device: args.device.clone(),
        delay_ms: text::millis(args.delay),
        expire_ms: args.expire.map(text::millis),
        overridden: args.overridden,
    };
    let mut call = Call::new(Method::POST, "/v1/fence/run");
    call.body = serde_json::to_value(&body).ok();
    call.patience = COMMIT;
    // From here on an interrupt leaves something that goes on, and that is to be said.
    let interrupt = signal(SignalKind::interrupt());
    let mut interrupt = interrupt.map_err(|error| Failure::Other(error.to_string()))?;
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let value: Value = tokio::select! {
        value = client.bridge.ask(call) => value?,
        _ = interrupt.recv() => {
            let why = "interrupted; the request may have been taken\nlook for it with: haxctl fence history";
            return Err(Failure::GoesOn(why.to_owned()));
        }
    };
    let Taken { op, merged } = parsed(value.clone())?;
    let joined = if merged {
        ", which was there already"
    } else {
        ""
    };
    if args.no_wait {
        return client.render(value, |_: Value| {
            format!("operation {op}{joined}\n{}\n", follow(&op))
        });
    }
    // Where nobody reads it, nothing is lost.
    let _ = writeln!(io::stderr(), "operation {op}{joined}; waiting for its end");
    let ended = tokio::select! {
        ended = until(client, &op, deadline) => ended?,
        _ = interrupt.recv() => Err(Stopped::Interrupted),
    };
    let value = match ended {
        Ok(value) => value,
        Err(stopped) => {
            let why = match stopped {
                Stopped::Interrupted => "interrupted",
                Stopped::Late => "--timeout is over",
            };
            let why = format!("{why}; operation {op} goes on\n{}", follow(&op));
            return Err(Failure::GoesOn(why));
        }
    };
    let op: Operation = parsed(value.clone())?;
    let mut done: Done = match client.json {
        true => format!("{value:#}\n").into(),
        false => explain::run(client, &op.id).await?,
    };
    done.failure = failure(&op);
    Ok(done)
}

fn follow(op: &OpId) -> String {
    format!(
        "follow it with: haxctl fence explain {op}\nend it with: haxctl fence cancel {op} --reason …"
    )
}

/// The operation when it has ended.
async fn until(
    client: &Client,
    op: &OpId,
    deadline: Option<Instant>,
) -> Result<Result<Value, Stopped>, Failure> {
    let wait = async {
        let mut away = 0;
        loop {
            match poll(client, op).await {
                Ok(value) => {
                    let ended = parsed::<Operation>(value.clone())?.ended().is_some();
                    if ended {
                        return Ok(value);
                    }
                    away = 0;
                }
                // The bridge is stopping, busy or started anew; the operation does not depend on it.
                Err(Failure::Unavailable(_)) if away < AWAY_MAX => {
                    away += 1;
                    sleep(PAUSE).await;
                }
                Err(Failure::Unavailable(why)) => {
                    let what = format!("{why}\noperation {op} may go on\n{}", follow(op));
                    return Err(Failure::Unavailable(what));
                }
                Err(failure) => return Err(failure),
            }
        }
    };
    match deadline {
        None => Ok(Ok(wait.await?)),
        Some(deadline) => match timeout_at(deadline, wait).await {
            Ok(value) => Ok(Ok(value?)),
            Err(_) => Ok(Err(Stopped::Late)),
        },
    }
}

async fn poll(client: &Client, op: &OpId) -> Result<Value, Failure> {
    let path = format!("/v1/fence/ops/{op}");
    let mut call = Call::new(Method::GET, &path);
    call.query = vec![("wait", POLL.to_string())];
    call.patience = Duration::from_secs(POLL + 15);
    client.bridge.ask(call).await
}

/// What an operation makes the command end with.
pub(super) fn failure(op: &Operation) -> Option<Failure> {
    let end = op.ended()?;
    let what = |word: &str| {
        format!(
            "{} of {} {word}: {}",
            op.action.as_str(),
            op.target,
            clean(&end.detail)
        )
    };
    match end.outcome {
        Outcome::Succeeded | Outcome::Confirmed => None,
        Outcome::Failed => Some(Failure::FenceFailed(what("has failed"))),
        Outcome::Indeterminate => {
            let word = "ended, and nobody knows how";
            Some(Failure::Indeterminate(what(word)))
        }
        Outcome::Refused(Refusal::NoQuorum) => Some(Failure::NoQuorum(what("was refused"))),
        Outcome::Refused(refusal) => {
            let why = format!("was refused ({refusal})");
            Some(Failure::Refused(what(&why)))
        }
        Outcome::Cancelled => Some(Failure::Refused(what("was cancelled"))),
        Outcome::Expired => Some(Failure::Refused(what("has expired"))),
    }
}
