//! The dead letters over HTTP. What changes them is sent as JSON; a body may be missing, and is not read.

use axum::extract::{Path, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::json;

use super::Bridge;
use super::guard;
use super::reply::Refusal;
use super::router::Shared;

/// The routes below `/v1/dead-letters`.
pub(super) fn routes<B: Bridge>() -> Router<Shared<B>> {
    Router::new()
        .route("/v1/dead-letters", get(list::<B>))
        .route("/v1/dead-letters/replay", post(replay_all::<B>))
        .route("/v1/dead-letters/{id}/replay", post(replay_one::<B>))
        .route("/v1/dead-letters/{id}", delete(discard::<B>))
        .layer(middleware::from_fn(guard::no_page))
}

async fn list<B: Bridge>(State(shared): State<Shared<B>>) -> Response {
    Json(json!({ "dead_letters": shared.bridge.dead_letters() })).into_response()
}

async fn replay_all<B: Bridge>(State(shared): State<Shared<B>>) -> Response {
    Json(json!({ "replayed": shared.bridge.replay(None).await })).into_response()
}

async fn replay_one<B: Bridge>(
    State(shared): State<Shared<B>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let replayed = shared.bridge.replay(Some(parse(&id)?)).await;
    if replayed.is_empty() {
        return Err(Refusal::NoDeadLetter(id));
    }
    Ok(Json(json!({ "replayed": replayed })).into_response())
}

async fn discard<B: Bridge>(
    State(shared): State<Shared<B>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let number = parse(&id)?;
    if !shared.bridge.discard(number).await {
        return Err(Refusal::NoDeadLetter(id));
    }
    Ok(Json(json!({ "discarded": number })).into_response())
}

fn parse(id: &str) -> Result<u64, Refusal> {
    id.parse().map_err(|_| Refusal::NoDeadLetter(id.to_owned()))
}
