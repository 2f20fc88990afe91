//! What keeps web pages out of requests that change something.
//!
//! Whoever reaches this server may do all it can; it listens on loopback. So that no page in a browser of this
//! machine can, every request that is not a GET must have `content-type: application/json`, which a form
//! cannot send, and no `Origin` header, which every browser adds to such a request, also where the page's
//! name has been made to point to this machine.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::reply::Refusal;

/// Keeps out what a page in a browser sends.
pub(super) async fn no_page(request: Request, next: Next) -> Result<Response, Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        if request.headers().contains_key(header::ORIGIN) {
            return Err(Refusal::CrossSite);
        }
        if !is_json(request.headers()) {
            return Err(Refusal::NotJson);
        }
    }
    Ok(next.run(request).await)
}

/// Only the first `content-type` could count; several are as bad as none.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let essence = value.to_str().unwrap_or("").split(';').next().unwrap_or("");
    essence.trim().eq_ignore_ascii_case("application/json")
}
