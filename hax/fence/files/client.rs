//! The `files` device: asks somebody else's responder through its directories.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::exchange::{Exchange, Heard, Pending, Withdrawn};
use super::message::{Request, plain};
use super::responder::blocking;
use crate::config::fence::FilesDeviceConfig;
use crate::fence::executor::BootInstant;
use crate::fence::model::{Action, EVIDENCE_MAX, Ended, NodeName, RunResult, Target};

/// How often the response is looked for.
const POLL: Duration = Duration::from_millis(200);

/// After this long responses and left-overs are removed.
const CLEANUP_MAX_AGE: Duration = Duration::from_secs(300);

/// How long a disk may take before the run is given up without it.
const DISK_MAX: Duration = Duration::from_secs(5);

/// One run: writes a request, and waits for its response for `timeout` at most. Nothing is written after
/// `start_by`. A request that is not answered in time, or whose run is cancelled, is withdrawn; if a responder
/// has taken it by then, the result is `indeterminate`. One whose future is dropped is withdrawn, too, by a
/// thread that nobody waits for: cancel it, where the result counts.
pub async fn run(
    config: &FilesDeviceConfig,
    target: &Target,
    action: Action,
    timeout: Duration,
    start_by: BootInstant,
    cancel: &CancellationToken,
) -> Ended {
    let begun = Instant::now();
    let (result, evidence) = match target {
        Target::Process { .. } => (
            RunResult::Internal,
            "request files fence nodes, not processes".to_owned(),
        ),
        Target::Node(node) => {
            attempt(config, node, action, begun + timeout, start_by, cancel).await
        }
    };
    Ended {
        result,
        evidence: plain(&evidence, EVIDENCE_MAX),
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

type Said = (RunResult, String);

async fn attempt(
    config: &FilesDeviceConfig,
    node: &NodeName,
    action: Action,
    until: Instant,
    start_by: BootInstant,
    cancel: &CancellationToken,
) -> Said {
    let (config, node, patience) = (config.clone(), node.clone(), until - Instant::now());
    let abandoned = cancel.clone();
    let published = blocking(move || {
        // The queue for the disk may have been long.
        if abandoned.is_cancelled() || BootInstant::now() > start_by {
            let why = "the run was over before its request could be written";
            return Err((RunResult::Refused, why.to_owned()));
        }
        publish(&config, node, action, patience)
    });
    let mut asked = match published.await {
        Some(Ok(asked)) => asked,
        Some(Err(said)) => return said,
        None => {
            return (
                RunResult::Internal,
                "the request was not written".to_owned(),
            );
        }
    };
    let (result, why) = loop {
        match look(&asked).await {
            Some(Heard::Answer(response)) => {
                finish(&mut asked).await;
                let result = match response.success {
                    true => RunResult::Success,
                    false => RunResult::NotAcknowledged,
                };
                let done = response.action_performed;
                return (result, format!("{done}: {}", response.message));
            }
            Some(Heard::Wrong(why)) => {
                break (
                    RunResult::NotAcknowledged,
                    format!("the response does not count: {why}"),
                );
            }
            Some(Heard::Unfit(why)) if Instant::now() >= until => {
                break (RunResult::Timeout, format!("no response, but {why}"));
            }
            Some(Heard::Nothing | Heard::Unfit(_)) | None => {}
        }
        if Instant::now() >= until {
            break (RunResult::Timeout, "no response in time".to_owned());
        }
        let next = until.min(Instant::now() + POLL);
        tokio::select! {
            () = cancel.cancelled() => break (RunResult::Killed, "the run was cancelled".to_owned()),
            () = sleep_until(next.into()) => {}
        }
    };
    withdraw(&mut asked, result, why).await
}

fn publish(
    config: &FilesDeviceConfig,
    node: NodeName,
    action: Action,
    patience: Duration,
) -> Result<Asked, Said> {
    let unreachable = |why: String| (RunResult::Unreachable, why);
    let exchange = Exchange::open(&config.request_dir, &config.response_dir)
        .map_err(|why| unreachable(why.to_string()))?;
    let me = rustix::system::uname();
    let me = me.nodename().to_string_lossy().into_owned();
    if let Err(error) = exchange.clean(&me, patience, CLEANUP_MAX_AGE) {
        warn!(%error, "old request files cannot be removed");
    }
    let pending = exchange
        .publish(Request::new(action, node, me))
        .map_err(|why| unreachable(why.to_string()))?;
    Ok(Asked {
        exchange: Arc::new(exchange),
        pending: Arc::new(pending),
        over: false,
    })
}

/// A request on disk. When it is dropped before it is over, it is withdrawn.
struct Asked {
    exchange: Arc<Exchange>,
    pending: Arc<Pending>,
    over: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (exchange, pending) = (Arc::clone(&self.exchange), Arc::clone(&self.pending));
        let withdraw = move || {
            if let Err(error) = exchange.withdraw(&pending) {
                warn!(%error, "a request that nobody waits for cannot be withdrawn");
            }
        };
        // Not here: a runtime's thread must not wait for the disk.
        let thread = std::thread::Builder::new().name("withdraw".to_owned());
        if let Err(error) = thread.spawn(withdraw) {
            warn!(%error, "a request that nobody waits for is not withdrawn");
        }
    }
}

async fn look(asked: &Asked) -> Option<Heard> {
    let (exchange, pending) = (Arc::clone(&asked.exchange), Arc::clone(&asked.pending));
    timeout(DISK_MAX, blocking(move || exchange.hear(&pending)))
        .await
        .ok()
        .flatten()
}

async fn finish(asked: &mut Asked) {
    let (exchange, pending) = (Arc::clone(&asked.exchange), Arc::clone(&asked.pending));
    let finished = timeout(DISK_MAX, blocking(move || exchange.finish(&pending))).await;
    match finished {
        Ok(Some(Ok(()))) => asked.over = true,
        Ok(Some(Err(error))) => warn!(%error, "a request that is answered cannot be removed"),
        _ => warn!("a request that is answered is not removed in time"),
    }
}

/// Takes the request back; `result` stands only if nobody has taken it.
async fn withdraw(asked: &mut Asked, result: RunResult, why: String) -> Said {
    let (ours, file) = (Arc::clone(&asked.exchange), Arc::clone(&asked.pending));
    let withdrawn = timeout(DISK_MAX, blocking(move || ours.withdraw(&file))).await;
    asked.over = matches!(withdrawn, Ok(Some(Ok(_))));
    match withdrawn {
        Ok(Some(Ok(Withdrawn::Back))) => (result, format!("{why}; the request is withdrawn")),
        Ok(Some(Ok(Withdrawn::Taken))) => match look(asked).await {
            Some(Heard::Answer(response)) if response.success => {
                (RunResult::Success, response.message)
            }
            Some(Heard::Answer(response)) => (RunResult::NotAcknowledged, response.message),
            _ => (
                RunResult::Indeterminate,
                format!("{why}; a responder has taken the request"),
            ),
        },
        Ok(Some(Err(error))) => (
            RunResult::Indeterminate,
            format!("{why}; the request cannot be withdrawn: {error}"),
        ),
        _ => (
            RunResult::Indeterminate,
            format!("{why}; the request cannot be withdrawn"),
        ),
    }
}

#[cfg(test)]
mod tests;
