//! The operations.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::super::Bridge;
use super::super::reply::Refusal;
use super::super::router::Shared;
use super::{handle, input};
use crate::fence::FenceHandle;
use crate::fence::model::{Action, OpId, Operation, OutcomeKind, Target};

/// Operations that are listed where no limit is given.
const LIMIT: usize = 50;
/// Operations that are listed at most.
const LIMIT_MAX: usize = 1000;
/// Longest wait for the end of an operation, in seconds.
const WAIT_MAX: u64 = 60;
/// How long the view may be behind a request that was committed.
const BEHIND_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    limit: Option<usize>,
    target: Option<Target>,
    action: Option<Action>,
    outcome: Option<OutcomeKind>,
}

/// The answer to a list.
#[derive(Debug, Serialize)]
pub(super) struct Ops {
    ops: Vec<Operation>,
}

pub(super) async fn list<B: Bridge>(
    shared: State<Shared<B>>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Ops>, Refusal> {
    let handle = handle(&shared)?;
    let filter = input::query(query)?;
    let limit = filter.limit.unwrap_or(LIMIT);
    if limit == 0 || limit > LIMIT_MAX {
        let why = format!("the query: limit is {limit}, but 1 to {LIMIT_MAX} are listed");
        return Err(Refusal::Invalid(why));
    }
    let wanted = |op: &Operation| {
        filter
            .target
            .as_ref()
            .is_none_or(|target| *target == op.target)
            && filter.action.is_none_or(|action| action == op.action)
            && filter
                .outcome
                .is_none_or(|kind| kind == OutcomeKind::of(op))
    };
    let view = handle.view();
    // Their numbers sort by time.
    let ops = view.ops.values().rev().map(|stored| &stored.value);
    let ops = ops.filter(|op| wanted(op)).take(limit).cloned().collect();
    Ok(Json(Ops { ops }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    wait: Option<u64>,
}

pub(super) async fn one<B: Bridge>(
    shared: State<Shared<B>>,
    Path(id): Path<String>,
    query: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<Operation>, Refusal> {
    let handle = handle(&shared)?;
    let id: OpId = input::name(&id)?;
    let wait = input::query(query)?.wait.unwrap_or(0);
    if wait > WAIT_MAX {
        let why = format!("the query: wait is {wait} s, but {WAIT_MAX} s are the most; ask again");
        return Err(Refusal::Invalid(why));
    }
    if wait > 0 {
        let _place = Arc::clone(&shared.polls).try_acquire_owned().map_err(|_| {
            Refusal::Busy("too many requests wait for the end of an operation; ask again")
        })?;
        tokio::select! {
            // The server is to stop: what is known now is the answer.
            () = shared.closing.cancelled() => {}
            () = until_ended(&handle, &id, Duration::from_secs(wait)) => {}
        }
    }
    known(&handle, &id).map(Json)
}

/// Waits for its end, for a time; and only shortly if there is no such operation.
async fn until_ended(handle: &FenceHandle, id: &OpId, wait: Duration) {
    let mut views = handle.views();
    let there = views.wait_for(|view| view.ops.contains_key(id));
    if !matches!(timeout(wait.min(BEHIND_MAX), there).await, Ok(Ok(_))) {
        return;
    }
    let over = views.wait_for(|view| {
        let op = view.ops.get(id);
        op.is_none_or(|op| op.value.ended().is_some())
    });
    // Whichever it was, what is known then is the answer.
    let _ = timeout(wait, over).await;
}

/// The operation, as last seen.
pub(super) fn known(handle: &FenceHandle, id: &OpId) -> Result<Operation, Refusal> {
    let view = handle.view();
    let op = view.ops.get(id).map(|op| op.value.clone());
    op.ok_or_else(|| Refusal::NoOperation(id.clone()))
}
