//! Refusals, each as a status and a JSON object.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::WatchError;

/// Characters of a detail at most: a payload's text may be quoted in it.
const DETAIL_MAX: usize = 400;
/// Seconds after which a refused watch post is worth another attempt.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No resource has this path.
    #[error(
        "no such resource: {path}; resources are /, /metrics, /v1/status, /v1/dead-letters and /watch/{{service,checks,nodes,keyprefix}}"
    )]
    NotFound { path: String },
    /// The resource has no such method.
    #[error("{method} is not possible on {path}; the Allow header names what is")]
    MethodNotAllowed { method: String, path: String },
    /// Where the JSON ends to be JSON.
    #[error("the body is not JSON: {0}")]
    MalformedJson(String),
    /// Where in the payload is what it must not be.
    #[error("{path}: {what}")]
    InvalidPayload { path: String, what: String },
    /// The limit, in bytes.
    #[error("the body is larger than {limit} bytes; raise http.body_limit, or narrow the watch")]
    TooLarge { limit: usize },
    /// The limit, in seconds.
    #[error("the body did not arrive within {seconds} s; send it faster, or in smaller parts")]
    Timeout { seconds: u64 },
    /// Why.
    #[error("the body could not be read: {0}; check its framing, and send it again")]
    BrokenBody(String),
    /// What there is too much of.
    #[error("{0}")]
    Busy(&'static str),
    /// Which.
    #[error("there is no dead letter {0:?}; GET /v1/dead-letters lists them with their `id`")]
    NoDeadLetter(String),
    /// The bridge does not take it.
    #[error(transparent)]
    Bridge(#[from] WatchError),
    /// The server is at fault.
    #[error("the request failed inside hax; the log says where")]
    Internal,
}

impl Refusal {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::MalformedJson(_) => (StatusCode::BAD_REQUEST, "malformed_json"),
            Self::BrokenBody(_) => (StatusCode::BAD_REQUEST, "broken_body"),
            Self::InvalidPayload { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Timeout { .. } => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::Busy(_) | Self::Bridge(WatchError::Busy) => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy")
            }
            Self::Bridge(WatchError::Consul) => (StatusCode::SERVICE_UNAVAILABLE, "consul"),
            Self::Bridge(WatchError::Stopping) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::NoDeadLetter(_) => (StatusCode::NOT_FOUND, "no_dead_letter"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let detail: String = self.to_string().chars().take(DETAIL_MAX).collect();
        if status.is_server_error() {
            tracing::warn!(code, detail, "HTTP request refused");
        } else {
            tracing::info!(code, detail, "HTTP request refused");
        }
        let mut response =
            (status, Json(json!({ "error": code, "detail": detail }))).into_response();
        if code == "busy" {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
