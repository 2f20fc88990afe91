//! Serves the commands of the rest of the daemon (`handle.rs`).

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::context::{Context, millis, now};
use super::request::known;
use super::{operator, request};
use crate::fence::gate::{self, Verdict};
use crate::fence::handle::{By, COMMANDS_MAX, Command, PlanReport, Refused};
use crate::fence::model::{
    Action, Before, DeviceName, OpId, Operation, Options, Origin, Phase, Refusal, Source, Step,
    Target,
};
use crate::fence::{plan, protocol};

/// Serves commands, each beside the others, until `cancel` is cancelled. Who still waits then is told
/// that the coordinator has ended.
pub(super) async fn serve(
    context: Context,
    mut commands: mpsc::Receiver<Command>,
    cancel: CancellationToken,
) {
    let started = Instant::now();
    let mut jobs = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            // Without a handle there is nothing to come; what was asked for goes on.
            Some(command) = commands.recv(), if jobs.len() < COMMANDS_MAX => {
                jobs.spawn(answer(context.clone(), command, started));
            }
            Some(done) = jobs.join_next() => {
                if let Err(error) = done {
                    warn!(%error, "a command did not end in order");
                }
            }
        }
    }
    jobs.shutdown().await;
}

async fn answer(context: Context, command: Command, started: Instant) {
    let context = &context;
    // An answer that nobody waits for any more is dropped.
    match command {
        Command::Request(ask, reply) => {
            let grace = started.elapsed() < context.config.startup_grace;
            let taken = request::request(context, &ask, grace, &|| reply.is_closed()).await;
            match &taken {
                Ok(taken) => info!(op = %taken.op, merged = taken.merged, target = %ask.target,
                                   action = ask.action.as_str(), who = ask.who, reason = ask.reason,
                                   "a request of fencing is taken"),
                Err(refused) => warn!(target = %ask.target, action = ask.action.as_str(),
                                      %refused, "a request of fencing is refused"),
            }
            let _ = reply.send(taken);
        }
        Command::Confirm(target, by, reply) => {
            let done = match bounded(context, known(context, target.node())).await {
                Ok(()) => operator::confirm(context, &target, &by).await,
                Err(refused) => Err(refused),
            };
            told("confirm", &target.to_string(), &by, &done);
            let _ = reply.send(done);
        }
        Command::Override(id, by, reply) => {
            let done = operator::pass(context, &id, &by).await;
            told("override", id.as_str(), &by, &done);
            let _ = reply.send(done);
        }
        Command::Cancel(id, by, reply) => {
            let done = operator::cancel(context, &id, &by).await;
            told("cancel", id.as_str(), &by, &done);
            let _ = reply.send(done);
        }
        Command::Release(node, by, reply) => {
            let done = match bounded(context, known(context, &node)).await {
                Ok(()) => operator::release(context, &node, &by).await,
                Err(refused) => Err(refused),
            };
            told("release", node.as_str(), &by, &done);
            let _ = reply.send(done);
        }
        Command::Inhibit(target, duration, by, reply) => {
            let done = operator::inhibit(context, target.as_ref(), duration, &by).await;
            let of = target.map_or_else(|| "*".to_owned(), |target| target.to_string());
            told("inhibit", &of, &by, &done);
            let _ = reply.send(done);
        }
        Command::Plan(target, action, reply) => {
            let _ = reply.send(Ok(report(context, &target, action)));
        }
        Command::Ping(device, reply) => {
            let _ = reply.send(match usable(context, &device) {
                Ok(()) => Ok(context.executor.ping(&device).await),
                Err(refused) => Err(refused),
            });
        }
        Command::Targets(device, reply) => {
            let _ = reply.send(match usable(context, &device) {
                Ok(()) => Ok(context.executor.list(&device).await),
                Err(refused) => Err(refused),
            });
        }
    }
}

fn told<T>(command: &str, of: &str, by: &By, done: &Result<T, Refused>) {
    let (who, reason) = (&by.who, &by.reason);
    match done {
        Ok(_) => info!(
            command,
            of, who, reason, "an operator's command of fencing is done"
        ),
        Err(refused) => {
            warn!(command, of, who, reason, %refused, "an operator's command is refused")
        }
    }
}

fn usable(context: &Context, device: &DeviceName) -> Result<(), Refused> {
    if context.executor.traits().contains_key(device) {
        return Ok(());
    }
    let detail = format!(
        "device {device} is not configured, or not for peer {}",
        context.me
    );
    Err(Refused::new(Refusal::NoDevice, detail))
}

/// What an operator's request would do now, and what would keep it.
fn report(context: &Context, target: &Target, action: Action) -> PlanReport {
    let view = context.view();
    let nodes = context.nodes();
    let at = now();
    let op = Operation {
        id: OpId::new(),
        target: target.clone(),
        action,
        origin: Origin {
            node: context.me.clone(),
            source: Source::Operator,
            who: String::new(),
            reason: String::new(),
            at,
        },
        joined: Vec::new(),
        options: Options {
            expire_ms: millis(context.config.expire),
            ..Options::default()
        },
        driver: context.me.clone(),
        phase: Phase::Requested,
        plan: None,
        before: Before::default(),
        attempts: Vec::new(),
    };
    let mut gates = Vec::new();
    if let Some(active) = view.active_op(target) {
        let (id, doing) = (&active.value.id, active.value.action.as_str());
        gates.push(format!("operation {id} ({doing}) has not ended"));
    }
    match gate::admit(&context.config, &view, &op, nodes.len(), at) {
        Verdict::Pass | Verdict::Expire => {}
        Verdict::Hold(reason) => gates.push(format!("held: {reason}")),
        Verdict::Refuse(refusal, detail) => gates.push(format!("{refusal}: {detail}")),
    }
    let facts = context.facts(&view, &nodes);
    let input = |device: &DeviceName, target: &Target, action| {
        context.executor.input(device, target, action)
    };
    let peers = |step: &Step, target: &Target| protocol::candidates(step, target, &view.peers);
    plan::report(&facts, target, action, gates, input, peers)
}

/// How long commands wait for Consul at most, all their requests together.
pub(super) async fn bounded<T>(
    context: &Context,
    work: impl Future<Output = Result<T, Refused>>,
) -> Result<T, Refused> {
    let bound = context
        .timeout
        .saturating_mul(2)
        .max(Duration::from_secs(1));
    tokio::time::timeout(bound, work).await.unwrap_or_else(|_| {
        Err(Refused::new(
            Refusal::NoQuorum,
            format!("no answer within {bound:?}"),
        ))
    })
}
