//! Bodies of watches, through the routes of the HTTP server.

use std::cell::RefCell;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use hax::bridge::LetterRow;
use hax::bridge::update::WatchUpdate;
use hax::http::{Bridge, Limits, WatchError, WatchOutcome, router};
use tower::ServiceExt;

const PATHS: [&str; 4] = [
    "/watch/service",
    "/watch/checks",
    "/watch/nodes",
    "/watch/keyprefix",
];

/// A bridge that looks at all of an update and does nothing with it.
#[derive(Clone)]
struct Looks;

impl Bridge for Looks {
    async fn watch(&self, update: WatchUpdate) -> Result<WatchOutcome, WatchError> {
        assert!(!format!("{update:?}").is_empty());
        Ok(WatchOutcome {
            notes: 0,
            links: 0,
            ignored: 0,
        })
    }

    async fn status(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn dead_letters(&self) -> Vec<LetterRow> {
        Vec::new()
    }

    async fn replay(&self, _: Option<u64>) -> Vec<u64> {
        Vec::new()
    }

    async fn discard(&self, _: u64) -> bool {
        false
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn fence(&self) -> Option<hax::fence::FenceHandle> {
        None
    }
}

thread_local! {
    static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime"),
    );
}

/// Posts a body; its first byte says to which watch. The answer is JSON, and blames the body or
/// nobody.
pub fn watch(data: &[u8]) {
    let Some((which, body)) = data.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*which) % PATHS.len()];
    let request = Request::post(path).body(Body::from(body.to_vec()));
    let request = request.expect("a request");
    let answer = async {
        let response = router(Looks, &Limits::default()).oneshot(request);
        let (parts, body) = response.await.expect("an answer").into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("a bounded answer");
        (parts.status, body)
    };
    let (status, answer) = RUNTIME.with_borrow(|runtime| runtime.block_on(answer));
    assert!(
        matches!(status.as_u16(), 200 | 400 | 422),
        "{path}: {status}"
    );
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(status == 200, answer.get("error").is_none(), "{answer}");
}
