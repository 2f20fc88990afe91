//! Plugins over HTTP (rfc/14, "HTTP").

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::guard;
use super::reply::Refusal;
use super::router::Shared;
use super::{Bridge, WatchError};
use crate::plugin::{InstanceName, Kind, Outcome, PluginsHandle, ReloadError, SupervisorError};

/// The routes below `/v1/plugins`.
pub(super) fn routes<B: Bridge>() -> Router<Shared<B>> {
    Router::new()
        .route("/v1/plugins", get(status::<B>))
        .route("/v1/plugins/objects", get(objects::<B>))
        .route("/v1/plugins/reload", post(reload::<B>))
        .route("/v1/plugins/{name}/restart", post(restart::<B>))
        .layer(middleware::from_fn(guard::no_page))
}

fn plugins<B: Bridge>(shared: &Shared<B>) -> Result<PluginsHandle, Refusal> {
    shared.bridge.plugins().ok_or(Refusal::NoPlugins)
}

async fn status<B: Bridge>(State(shared): State<Shared<B>>) -> Result<Response, Refusal> {
    Ok(Json(plugins(&shared)?.status()).into_response())
}

async fn objects<B: Bridge>(
    State(shared): State<Shared<B>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let plugins = plugins(&shared)?;
    let kind = match query.as_deref() {
        None | Some("") => None,
        Some(query) => {
            let kind = query.strip_prefix("object=").and_then(Kind::of);
            let unknown = || Refusal::Invalid(format!("{query:?} is not object=KIND"));
            Some(kind.ok_or_else(unknown)?)
        }
    };
    let world = plugins.world();
    let objects = world
        .values()
        .filter(|object| kind.is_none_or(|kind| object.kind() == kind));
    let objects: Vec<_> = objects.collect();
    Ok(Json(json!({ "objects": objects })).into_response())
}

async fn reload<B: Bridge>(State(shared): State<Shared<B>>) -> Result<Response, Refusal> {
    let outcome = plugins(&shared)?.reload().await;
    let (status, body) = match outcome {
        Ok(outcome @ Outcome::Done { .. }) => (StatusCode::OK, json!(outcome)),
        Ok(outcome) => (StatusCode::CONFLICT, json!(outcome)),
        Err(ReloadError::Snippets(errors)) => {
            let errors: Vec<_> = errors.to_string().lines().map(str::to_owned).collect();
            let body = json!({ "result": "refused", "errors": errors });
            (StatusCode::CONFLICT, body)
        }
        Err(ReloadError::Busy) => return Err(Refusal::Busy("too many reloads wait already")),
        Err(ReloadError::Ended) => return Err(WatchError::Stopping.into()),
    };
    Ok((status, Json(body)).into_response())
}

async fn restart<B: Bridge>(
    State(shared): State<Shared<B>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let plugins = plugins(&shared)?;
    let unknown = || Refusal::NoInstance(name.clone());
    let instance = InstanceName::new(&name).map_err(|_| unknown())?;
    match plugins.restart(&instance).await {
        Ok(()) => Ok(Json(json!({ "restarted": name })).into_response()),
        Err(SupervisorError::NoSuchInstance(_)) => Err(unknown()),
        Err(SupervisorError::Ended) => Err(WatchError::Stopping.into()),
        Err(error) => Err(Refusal::PluginFailed(error.to_string())),
    }
}
