//! What changes something, and what asks a device.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::Bridge;
use super::super::reply::Refusal;
use super::super::router::Shared;
use super::input::{self, ByBody, Reason, Who};
use super::{handle, ops};
use crate::fence::executor::Listed;
use crate::fence::model::{Action, DeviceName, Ended, NodeName, OpId, Source, Target};
use crate::fence::{Ask, By, Command, FenceHandle, PlanReport, Refused, Taken};

/// How long a commit, or a plan, may take.
const COMMIT_MAX: Duration = Duration::from_secs(30);
/// How long a look at a device may take, whatever its own timeouts are.
const DEVICE_MAX: Duration = Duration::from_secs(300);
/// Longest `tolerance_ms`, `expire_ms`: a day.
const DAY_MS: u64 = 86_400_000;
/// Longest `delay_ms`.
const DELAY_MAX_MS: u64 = 600_000;
/// Longest inhibit: 30 days.
const INHIBIT_MAX_MS: u64 = 30 * DAY_MS;

/// The body of `POST /v1/fence/run`. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunBody {
    /// `<node>`, or `<fid>@<node>`.
    pub target: Target,
    /// off, on or reboot.
    pub action: Action,
    /// By whom; recorded, never trusted.
    pub who: String,
    /// Why.
    pub reason: String,
    /// An equal success this recent is the answer.
    #[serde(default)]
    pub tolerance_ms: u64,
    /// This device only, without levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// Delay before the first step, in addition.
    #[serde(default)]
    pub delay_ms: u64,
    /// After this long without a start it never fires; none: `fence.expire`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_ms: Option<u64>,
    /// Gates are passed.
    #[serde(default, rename = "override")]
    pub overridden: bool,
}

impl RunBody {
    fn ask(self) -> Result<Ask, Refusal> {
        let bounded = |path: &str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                return Ok(Duration::from_millis(value));
            }
            Err(Refusal::InvalidPayload {
                path: path.to_owned(),
                what: format!("{value} is not within {min} and {max}"),
            })
        };
        let line = |path: &str, what: String| Refusal::InvalidPayload {
            path: path.to_owned(),
            what,
        };
        let who = Who::try_from(self.who).map_err(|what| line("who", what))?;
        let reason = Reason::try_from(self.reason).map_err(|what| line("reason", what))?;
        let expire = self.expire_ms;
        let expire = expire.map(|expire| bounded("expire_ms", expire, 1000, DAY_MS));
        Ok(Ask {
            target: self.target,
            action: self.action,
            source: Source::Operator,
            who: who.into(),
            reason: reason.into(),
            tolerance: bounded("tolerance_ms", self.tolerance_ms, 0, DAY_MS)?,
            device: self.device,
            delay: bounded("delay_ms", self.delay_ms, 0, DELAY_MAX_MS)?,
            overridden: self.overridden,
            expire: expire.transpose()?,
        })
    }
}

/// Sends a command, and waits for what becomes of it, for a time.
async fn ask<T>(
    handle: &FenceHandle,
    limit: Duration,
    command: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Command,
) -> Result<T, Refusal> {
    const LATE: Refusal =
        Refusal::Busy("the coordinator did not answer in time; look at /v1/fence what came of it");
    let answer = timeout(limit, handle.ask(command)).await;
    Ok(answer.map_err(|_| LATE)??)
}

pub(super) async fn run<B: Bridge>(
    shared: State<Shared<B>>,
    body: Body,
) -> Result<(StatusCode, Json<Taken>), Refusal> {
    let handle = handle(&shared)?;
    let body: RunBody = input::json(&shared, body, false).await?;
    let request = body.ask()?;
    let taken = ask(&handle, COMMIT_MAX, |reply| {
        Command::Request(request, reply)
    })
    .await?;
    Ok((StatusCode::ACCEPTED, Json(taken)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanQuery {
    target: Target,
    action: Option<Action>,
}

pub(super) async fn plan<B: Bridge>(
    shared: State<Shared<B>>,
    query: Result<Query<PlanQuery>, QueryRejection>,
) -> Result<Json<PlanReport>, Refusal> {
    let handle = handle(&shared)?;
    let PlanQuery { target, action } = input::query(query)?;
    let action = action.unwrap_or(Action::Off);
    let plan = |reply| Command::Plan(target, action, reply);
    Ok(Json(ask(&handle, COMMIT_MAX, plan).await?))
}

/// An operation that has not ended, as far as is known here; the coordinator looks at it again.
fn open(handle: &FenceHandle, id: &str) -> Result<OpId, Refusal> {
    let id: OpId = input::name(id)?;
    match ops::known(handle, &id)?.ended() {
        Some(end) => Err(Refusal::OperationEnded(id, end.detail.clone())),
        None => Ok(id),
    }
}

async fn on_op<B: Bridge>(
    shared: State<Shared<B>>,
    id: String,
    body: Body,
    command: impl FnOnce(OpId, By, oneshot::Sender<Result<(), Refused>>) -> Command,
) -> Result<Json<Value>, Refusal> {
    let handle = handle(&shared)?;
    let body: ByBody = input::json(&shared, body, false).await?;
    let id = open(&handle, &id)?;
    let op = id.clone();
    ask(&handle, COMMIT_MAX, |reply| command(id, body.into(), reply)).await?;
    Ok(Json(json!({ "op": op })))
}

pub(super) async fn cancel<B: Bridge>(
    shared: State<Shared<B>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    on_op(shared, id, body, Command::Cancel).await
}

pub(super) async fn let_pass<B: Bridge>(
    shared: State<Shared<B>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    on_op(shared, id, body, Command::Override).await
}

pub(super) async fn confirm<B: Bridge>(
    shared: State<Shared<B>>,
    Path(target): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let handle = handle(&shared)?;
    let target: Target = input::name(&target)?;
    let by: ByBody = input::json(&shared, body, false).await?;
    let op = ask(&handle, COMMIT_MAX, |reply| {
        Command::Confirm(target, by.into(), reply)
    })
    .await?;
    Ok(Json(json!({ "op": op })))
}

pub(super) async fn release<B: Bridge>(
    shared: State<Shared<B>>,
    Path(node): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let handle = handle(&shared)?;
    let node: NodeName = input::name(&node)?;
    let by: ByBody = input::json(&shared, body, false).await?;
    let released = node.clone();
    ask(&handle, COMMIT_MAX, |reply| {
        Command::Release(node, by.into(), reply)
    })
    .await?;
    Ok(Json(json!({ "released": released })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InhibitBody {
    who: Who,
    reason: Reason,
    for_ms: u64,
}

pub(super) async fn inhibit_all<B: Bridge>(
    shared: State<Shared<B>>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    put_inhibit(shared, None, body).await
}

pub(super) async fn inhibit<B: Bridge>(
    shared: State<Shared<B>>,
    Path(target): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    put_inhibit(shared, Some(target), body).await
}

async fn put_inhibit<B: Bridge>(
    shared: State<Shared<B>>,
    target: Option<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let handle = handle(&shared)?;
    let target = target.as_deref().map(input::name).transpose()?;
    let body: InhibitBody = input::json(&shared, body, false).await?;
    let InhibitBody {
        who,
        reason,
        for_ms,
    } = body;
    if for_ms == 0 || for_ms > INHIBIT_MAX_MS {
        return Err(Refusal::InvalidPayload {
            path: "for_ms".to_owned(),
            what: format!("{for_ms} is not within 1 and {INHIBIT_MAX_MS}; DELETE ends an inhibit"),
        });
    }
    let by = ByBody { who, reason };
    set_inhibit(&handle, target, Duration::from_millis(for_ms), by).await
}

pub(super) async fn uninhibit_all<B: Bridge>(
    shared: State<Shared<B>>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let handle = handle(&shared)?;
    let by: ByBody = input::json(&shared, body, false).await?;
    set_inhibit(&handle, None, Duration::ZERO, by).await
}

pub(super) async fn uninhibit<B: Bridge>(
    shared: State<Shared<B>>,
    Path(target): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let handle = handle(&shared)?;
    let target = input::name(&target)?;
    let by: ByBody = input::json(&shared, body, false).await?;
    set_inhibit(&handle, Some(target), Duration::ZERO, by).await
}

async fn set_inhibit(
    handle: &FenceHandle,
    target: Option<Target>,
    duration: Duration,
    by: ByBody,
) -> Result<Json<Value>, Refusal> {
    let name = target.as_ref().map_or("*".to_owned(), Target::to_string);
    ask(handle, COMMIT_MAX, |reply| {
        Command::Inhibit(target, duration, by.into(), reply)
    })
    .await?;
    let word = if duration.is_zero() {
        "uninhibited"
    } else {
        "inhibited"
    };
    Ok(Json(json!({ word: name })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A device of this node. What is configured is not known to every test, so an empty list says nothing.
fn device(handle: &FenceHandle, name: &str) -> Result<DeviceName, Refusal> {
    let name: DeviceName = input::name(name)?;
    let devices = &handle.about().devices;
    if !devices.is_empty() && !devices.iter().any(|device| device.device == name) {
        return Err(Refusal::NoDevice(name.to_string()));
    }
    Ok(name)
}

pub(super) async fn ping<B: Bridge>(
    shared: State<Shared<B>>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Ended>, Refusal> {
    let handle = handle(&shared)?;
    let device = device(&handle, &name)?;
    let Nothing {} = input::json(&shared, body, true).await?;
    let ping = |reply| Command::Ping(device, reply);
    Ok(Json(ask(&handle, DEVICE_MAX, ping).await?))
}

/// What a device says that it can fence.
#[derive(Debug, Serialize)]
pub(super) struct Targets {
    #[serde(flatten)]
    ended: Ended,
    targets: Vec<Listed>,
}

pub(super) async fn targets<B: Bridge>(
    shared: State<Shared<B>>,
    Path(name): Path<String>,
) -> Result<Json<Targets>, Refusal> {
    let handle = handle(&shared)?;
    let device = device(&handle, &name)?;
    let list = |reply| Command::Targets(device, reply);
    let (ended, targets) = ask(&handle, DEVICE_MAX, list).await?;
    Ok(Json(Targets { ended, targets }))
}
