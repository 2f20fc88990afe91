//! Refusals, each as a status and a JSON object.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::WatchError;
use crate::fence::Refused;
use crate::fence::model::{self as fence, OpId};

/// Characters of a detail at most: a payload's text may be quoted in it.
const DETAIL_MAX: usize = 400;
/// Seconds after which what was refused is worth another attempt.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No resource has this path.
    #[error(
        "no such resource: {path}; resources are /, /metrics, /v1/status, /v1/dead-letters, /v1/fence, /v1/plugins and /watch/{{service,checks,nodes,keyprefix}}"
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
    /// The coordinator does not take it.
    #[error(transparent)]
    Fence(#[from] Refused),
    /// What of the path or the query cannot be, and why.
    #[error("{0}")]
    Invalid(String),
    /// The limit, in bytes.
    #[error("the body is larger than {0} bytes; a request for fencing is a short JSON object")]
    FenceTooLarge(usize),
    /// The body is not announced as JSON.
    #[error(
        "what changes something is sent as JSON: set the header `content-type: application/json`"
    )]
    NotJson,
    /// A browser sends it for some page.
    #[error(
        "this request has an Origin header, so a browser sends it for some page; nothing is changed for these"
    )]
    CrossSite,
    /// Which.
    #[error("there is no operation {0}; GET /v1/fence/ops lists them with their `id`")]
    NoOperation(OpId),
    /// Which, and how.
    #[error("operation {0} has ended: {1}")]
    OperationEnded(OpId, String),
    /// Which.
    #[error(
        "there is no device {0:?} in the configuration of this node; GET /v1/fence/devices lists them"
    )]
    NoDevice(String),
    /// Plugins are not configured.
    #[error("there are no plugins here; plugins.snippets names the directory of their snippets")]
    NoPlugins,
    /// Which.
    #[error("there is no plugin instance {0:?}; GET /v1/plugins lists them")]
    NoInstance(String),
    /// Why.
    #[error("{0}")]
    PluginFailed(String),
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
            Self::Fence(refused) => fence_status(refused.refusal),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::FenceTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site"),
            Self::NoOperation(_) => (StatusCode::NOT_FOUND, "no_operation"),
            Self::OperationEnded(..) => (StatusCode::CONFLICT, "ended"),
            Self::NoDevice(_) => (StatusCode::NOT_FOUND, "no_device"),
            Self::NoPlugins => (StatusCode::NOT_FOUND, "no_plugins"),
            Self::NoInstance(_) => (StatusCode::NOT_FOUND, "no_instance"),
            Self::PluginFailed(_) => (StatusCode::CONFLICT, "plugin_failed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

/// The words are those of the records (`rfc/12-fencing.md`).
fn fence_status(refusal: fence::Refusal) -> (StatusCode, &'static str) {
    use fence::Refusal as R;
    match refusal {
        R::NoQuorum => (StatusCode::SERVICE_UNAVAILABLE, "no-quorum"),
        R::StartupGrace => (StatusCode::SERVICE_UNAVAILABLE, "startup-grace"),
        R::UnknownTarget => (StatusCode::NOT_FOUND, "unknown-target"),
        R::NotConfigured => (StatusCode::NOT_FOUND, "not-configured"),
        R::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        R::NoDevice => (StatusCode::CONFLICT, "no-device"),
        R::NoPeer => (StatusCode::CONFLICT, "no-peer"),
        R::Inhibited => (StatusCode::CONFLICT, "inhibited"),
        R::Quarantined => (StatusCode::CONFLICT, "quarantined"),
        R::Busy => (StatusCode::CONFLICT, "busy"),
        R::NoOperation => (StatusCode::NOT_FOUND, "no-operation"),
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
        if matches!(code, "busy" | "stopping") {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
