//! What can go wrong, and whether repeating the request can help.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;

use crate::txn::TxnAborted;

/// Bytes of a reply's body quoted in an error.
const EXCERPT: usize = 512;

/// Failure of a request. Cheap to clone; never holds the ACL token or a value.
///
/// | variant | retryable | may have taken effect |
/// |---|---|---|
/// | `Config`, `File` | no | no |
/// | `Connect` | yes | no |
/// | `Tls` | no | no |
/// | `Timeout`, `Transport` | yes | yes |
/// | `NoLeader` | yes | yes |
/// | `Status` 408, 429, 5xx | yes | yes for 5xx |
/// | `Status`, others | no | no |
/// | `Permission`, `NotFound`, `SessionInvalid` | no | no |
/// | `Decode`, `ReplyTooLarge` | no | yes |
/// | `TooLarge`, `TooManyOps`, `InvalidKey`, `InvalidArgument` | no | no: nothing was sent |
/// | `Aborted` | no | no |
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is not usable.
    #[error("setting {setting}: {reason}")]
    Config {
        /// Name of the field of [`Config`](crate::Config).
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A TLS file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// No connection to the agent: refused, unreachable, or its name is unknown.
    #[error("{path}: cannot connect to Consul: {}", innermost(source))]
    Connect {
        /// Path of the request.
        path: String,
        /// Cause.
        source: Arc<reqwest::Error>,
    },
    /// The TLS handshake failed; usually a wrong authority or a missing client certificate.
    #[error("{path}: TLS: {reason}")]
    Tls {
        /// Path of the request.
        path: String,
        /// What the TLS library says.
        reason: String,
    },
    /// The request was not answered in time.
    #[error("{path}: no answer within {limit:?}")]
    Timeout {
        /// Path of the request.
        path: String,
        /// The limit that was exceeded.
        limit: Duration,
    },
    /// The connection broke while the request was under way.
    #[error("{path}: connection lost: {}", innermost(source))]
    Transport {
        /// Path of the request.
        path: String,
        /// Cause.
        source: Arc<reqwest::Error>,
    },
    /// Consul answered with a status that has no variant of its own.
    #[error("{path}: HTTP status {status}: {body}")]
    Status {
        /// Path of the request.
        path: String,
        /// HTTP status code.
        status: u16,
        /// Beginning of the body.
        body: String,
    },
    /// The token does not permit the request, or is unknown (403).
    #[error("{path}: not permitted: {body}")]
    Permission {
        /// Path of the request.
        path: String,
        /// What Consul says.
        body: String,
    },
    /// The thing to act on does not exist. Reads of missing things are no errors.
    #[error("{path}: not found: {body}")]
    NotFound {
        /// Path of the request.
        path: String,
        /// What Consul says.
        body: String,
    },
    /// The session named in a request does not exist (any more).
    #[error("{path}: {body}")]
    SessionInvalid {
        /// Path of the request.
        path: String,
        /// What Consul says.
        body: String,
    },
    /// The cluster has no leader at the moment.
    #[error("{path}: no cluster leader")]
    NoLeader {
        /// Path of the request.
        path: String,
    },
    /// The reply or a stored value does not have the expected form.
    #[error("{path}: cannot decode: {reason}")]
    Decode {
        /// Path of the request, or key of the value.
        path: String,
        /// What does not fit, with its place.
        reason: String,
    },
    /// The reply is larger than [`Config::max_body`](crate::Config::max_body).
    #[error("{path}: reply exceeds {limit} bytes")]
    ReplyTooLarge {
        /// Path of the request.
        path: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A value or a transaction is larger than Consul accepts.
    #[error("{what}: {size} bytes exceed the limit of {limit}")]
    TooLarge {
        /// The key, or `transaction`.
        what: String,
        /// Size, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A transaction has more operations than [`TXN_MAX_OPS`](crate::TXN_MAX_OPS).
    #[error("{count} operations exceed the limit of {limit} of a transaction")]
    TooManyOps {
        /// Operations given.
        count: usize,
        /// Operations allowed.
        limit: usize,
    },
    /// The key cannot be used with the KV API.
    #[error("key {key:?}: {reason}")]
    InvalidKey {
        /// The key.
        key: String,
        /// Why.
        reason: &'static str,
    },
    /// An argument Consul would refuse.
    #[error("{what}: {reason}")]
    InvalidArgument {
        /// Name of the argument.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The transaction was rolled back because a condition in it does not hold.
    #[error(transparent)]
    Aborted(#[from] TxnAborted),
}

impl Error {
    /// Whether the same request may succeed later without anybody changing it. See the table of
    /// [`Error`].
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::NoLeader { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether a write that failed so may nevertheless have been applied. A retry must then be
    /// idempotent or guarded by a condition.
    pub fn is_maybe_applied(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::NoLeader { .. }
            | Self::Decode { .. }
            | Self::ReplyTooLarge { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    pub(crate) fn decode(path: &str, reason: impl ToString) -> Self {
        Self::Decode {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn from_http(path: &str, limit: Duration, error: reqwest::Error) -> Self {
        let path = path.to_owned();
        if let Some(reason) = tls_failure(&error) {
            return Self::Tls { path, reason };
        }
        if error.is_timeout() {
            return Self::Timeout { path, limit };
        }
        let source = Arc::new(error.without_url());
        if source.is_connect() {
            Self::Connect { path, source }
        } else {
            Self::Transport { path, source }
        }
    }

    pub(crate) fn from_status(path: &str, status: StatusCode, body: &[u8]) -> Self {
        let path = path.to_owned();
        let body = excerpt(body);
        match status {
            StatusCode::FORBIDDEN => Self::Permission { path, body },
            StatusCode::NOT_FOUND => Self::NotFound { path, body },
            StatusCode::INTERNAL_SERVER_ERROR if body.contains("No cluster leader") => {
                Self::NoLeader { path }
            }
            // Consul reports a lock request of a session that is gone as an internal error.
            StatusCode::INTERNAL_SERVER_ERROR if body.contains("invalid session") => {
                Self::SessionInvalid { path, body }
            }
            _ => Self::Status {
                path,
                status: status.as_u16(),
                body,
            },
        }
    }
}

fn excerpt(body: &[u8]) -> String {
    let cut = body.len() > EXCERPT;
    let head = if cut { &body[..EXCERPT] } else { body };
    let mut text: String = String::from_utf8_lossy(head)
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if cut {
        text.push_str("...");
    }
    text
}

/// The TLS library's failures travel as `InvalidData` inside I/O errors; a plain TCP connection
/// yields no such error.
fn tls_failure(error: &reqwest::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(current) = cause {
        let io = current.downcast_ref::<io::Error>();
        if let Some(io) = io.filter(|io| io.kind() == io::ErrorKind::InvalidData) {
            return Some(io.to_string());
        }
        // The source of an I/O error is the source of what it wraps: look at that first.
        cause = match io.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    None
}

fn innermost(error: &Arc<reqwest::Error>) -> String {
    let mut cause: &dyn StdError = error.as_ref();
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, body: &str) -> Error {
        Error::from_status(
            "/v1/kv/a",
            StatusCode::from_u16(code).unwrap(),
            body.as_bytes(),
        )
    }

    #[test]
    fn statuses_are_told_apart() {
        assert!(matches!(
            status(403, "Permission denied"),
            Error::Permission { .. }
        ));
        assert!(matches!(
            status(500, "No cluster leader"),
            Error::NoLeader { .. }
        ));
        assert!(matches!(
            status(500, "invalid session \"x\""),
            Error::SessionInvalid { .. }
        ));
        assert!(matches!(
            status(500, "boom"),
            Error::Status { status: 500, .. }
        ));
    }

    #[test]
    fn retryable_statuses() {
        for code in [408, 429, 500, 502, 503, 504] {
            assert!(status(code, "").is_retryable(), "{code}");
        }
        for code in [301, 400, 403, 404, 405, 409, 413] {
            assert!(!status(code, "").is_retryable(), "{code}");
        }
        assert!(status(500, "No cluster leader").is_retryable());
        assert!(!status(500, "invalid session").is_retryable());
    }

    #[test]
    fn excerpts_are_bounded_and_printable() {
        let Error::Status { body, .. } = status(500, &"\u{1b}é".repeat(1000)) else {
            panic!("not a status");
        };
        assert!(body.len() < 2 * EXCERPT);
        assert!(!body.contains('\u{1b}'));
    }
}
