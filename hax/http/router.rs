//! Routes, and what is done on each.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::FutureExt;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::{self, Budget, Received};
use super::dead_letters;
use super::fence;
use super::lane::Lane;
use super::payload::{self, Watch};
use super::plugins;
use super::reply::Refusal;
use super::{Bridge, Limits, WatchError, WatchOutcome};
use crate::bridge::update::WatchUpdate;
use crate::metrics::Text;

/// Bytes of a body up to which parsing takes no longer than a runtime's thread may be kept.
const PARSE_INLINE_MAX: usize = 64 << 10;

/// What every handler sees.
#[derive(Clone)]
pub(super) struct Shared<B> {
    pub(super) bridge: B,
    pub(super) limits: Arc<Limits>,
    pub(super) budget: Budget,
    lane: Lane,
    started: Instant,
    /// Watch posts being handled; they go on when their client has gone.
    pub(super) tasks: TaskTracker,
    /// The server is to stop: nobody waits any longer for what may take its time.
    pub(super) closing: CancellationToken,
    /// Ends those that outlast the drain.
    pub(super) kill: CancellationToken,
    /// Requests that wait for the end of an operation.
    pub(super) polls: Arc<Semaphore>,
}

impl<B> Shared<B> {
    pub(super) fn new(bridge: B, limits: &Limits) -> Self {
        Self {
            bridge,
            limits: Arc::new(limits.clone()),
            budget: Budget::new(limits),
            lane: Lane::new(limits.waiting),
            started: Instant::now(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            kill: CancellationToken::new(),
            polls: Arc::new(Semaphore::new(limits.waiting.min(Semaphore::MAX_PERMITS))),
        }
    }
}

/// The routes of the server, without a listener.
pub fn router<B: Bridge>(bridge: B, limits: &Limits) -> Router {
    routes(Shared::new(bridge, limits))
}

pub(super) fn routes<B: Bridge>(shared: Shared<B>) -> Router {
    let post_of = |watch: Watch| {
        post(
            async move |State(shared): State<Shared<B>>, request: Request| {
                post_watch(shared, watch, request).await
            },
        )
    };
    Router::new()
        .route("/", get(alive::<B>).merge(post_of(Watch::Service)))
        .route("/v1/status", get(status::<B>))
        .route("/metrics", get(metrics::<B>))
        .route("/watch/service", post_of(Watch::Service))
        .route("/watch/checks", post_of(Watch::Checks))
        .route("/watch/nodes", post_of(Watch::Nodes))
        .route("/watch/keyprefix", post_of(Watch::KeyPrefix))
        .merge(dead_letters::routes())
        .merge(fence::routes())
        .merge(plugins::routes())
        .fallback(async |request: Request| Refusal::NotFound {
            path: request.uri().path().to_owned(),
        })
        .method_not_allowed_fallback(async |request: Request| Refusal::MethodNotAllowed {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
        })
        .layer(middleware::from_fn(catch_panic))
        .with_state(shared)
}

async fn alive<B: Bridge>(State(shared): State<Shared<B>>) -> Response {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": shared.started.elapsed().as_secs(),
    }))
    .into_response()
}

async fn status<B: Bridge>(State(shared): State<Shared<B>>) -> Result<Response, Refusal> {
    let status = timeout(shared.limits.status_timeout, shared.bridge.status()).await;
    let status = status.map_err(|_| Refusal::Busy("the bridge did not tell its status in time"))?;
    Ok(Json(status).into_response())
}

async fn metrics<B: Bridge>(State(shared): State<Shared<B>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, Text::CONTENT_TYPE)];
    (content_type, shared.bridge.metrics()).into_response()
}

async fn post_watch<B: Bridge>(
    shared: Shared<B>,
    watch: Watch,
    request: Request,
) -> Result<Json<WatchOutcome>, Refusal> {
    let body = body::read(request.into_body(), &shared.limits, &shared.budget).await?;
    let turn = shared.lane.enter().await?;
    // A task of its own: a client that hangs up must neither stop an update half-way nor
    // let the next one begin before the bridge is done.
    let handled = shared.tasks.spawn(async move {
        let _turn = turn;
        let work = async {
            let update = parse(watch, body).await?;
            shared.bridge.watch(update).await.map_err(Refusal::from)
        };
        tokio::select! {
            biased;
            () = shared.kill.cancelled() => Err(WatchError::Stopping.into()),
            outcome = work => outcome,
        }
    });
    let outcome = handled.await.map_err(|error| {
        tracing::error!(%error, ?watch, "handling a watch failed");
        Refusal::Internal
    })??;
    tracing::debug!(?watch, ?outcome, "watch handled");
    Ok(Json(outcome))
}

async fn parse(watch: Watch, body: Received) -> Result<WatchUpdate, Refusal> {
    if body.bytes().len() <= PARSE_INLINE_MAX {
        return payload::parse(watch, body.bytes());
    }
    // A pure computation on a body of bounded size: it ends by itself, and the lane lets
    // only one be under way.
    #[allow(clippy::disallowed_methods)]
    let parsed = tokio::task::spawn_blocking(move || payload::parse(watch, body.bytes()));
    parsed.await.map_err(|error| {
        tracing::error!(%error, ?watch, "parsing a watch failed");
        Refusal::Internal
    })?
}

/// A panic in a handler is one failed request, not a connection cut without a word.
async fn catch_panic(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let panic = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(path, panic, "panic while handling an HTTP request");
            Refusal::Internal.into_response()
        }
    }
}
