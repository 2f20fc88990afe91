//! Tests of the server, against a bridge that records what it is told.

mod any_input;
mod connections;
mod dead_letters;
mod fence;
mod payloads;
mod requests;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

use super::{Bridge, Limits, WatchError, WatchOutcome, router};
use crate::bridge::LetterRow;
use crate::bridge::update::WatchUpdate;
use crate::fence::FenceHandle;

/// A sample of 5/HAX: one confd, its node's check and its own.
const SAMPLE: &str = include_str!("../../../tests/data/watch-service-sample.json");

const WATCH_ROUTES: [&str; 5] = [
    "/",
    "/watch/service",
    "/watch/checks",
    "/watch/nodes",
    "/watch/keyprefix",
];

/// What the recording bridge does with an update.
#[derive(Clone)]
enum Reaction {
    Accept,
    Refuse(WatchError),
    Panic,
    /// Accepts once a permit is there.
    Gate(Arc<Semaphore>),
}

#[derive(Clone)]
struct Recorder {
    reaction: Reaction,
    updates: Arc<Mutex<Vec<WatchUpdate>>>,
    /// Updates begun and not ended, and the most there were at once.
    running: watch::Sender<(usize, usize)>,
    fence: Option<FenceHandle>,
}

impl Recorder {
    fn new(reaction: Reaction) -> Self {
        Self {
            reaction,
            updates: Arc::default(),
            running: watch::Sender::new((0, 0)),
            fence: None,
        }
    }

    fn accepting() -> Self {
        Self::new(Reaction::Accept)
    }

    fn updates(&self) -> Vec<WatchUpdate> {
        self.updates.lock().unwrap().clone()
    }

    async fn until_running(&self, wanted: usize) {
        self.running
            .subscribe()
            .wait_for(|(now, _)| *now == wanted)
            .await
            .unwrap();
    }

    fn most_at_once(&self) -> usize {
        self.running.borrow().1
    }
}

/// Counts one update for as long as it lives.
struct Running<'a>(&'a watch::Sender<(usize, usize)>);

impl<'a> Running<'a> {
    fn begin(running: &'a watch::Sender<(usize, usize)>) -> Self {
        running.send_modify(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|(now, _)| *now -= 1);
    }
}

impl Bridge for Recorder {
    async fn watch(&self, update: WatchUpdate) -> Result<WatchOutcome, WatchError> {
        let _running = Running::begin(&self.running);
        match &self.reaction {
            Reaction::Accept => {}
            Reaction::Refuse(error) => return Err(*error),
            Reaction::Panic => panic!("the bridge is broken"),
            Reaction::Gate(gate) => gate.acquire().await.unwrap().forget(),
        }
        let ignored = match &update {
            WatchUpdate::Checks { ignored, .. } | WatchUpdate::KeyPrefix { ignored, .. } => {
                *ignored
            }
            _ => 0,
        };
        self.updates.lock().unwrap().push(update);
        Ok(WatchOutcome {
            notes: 3,
            links: 2,
            ignored,
        })
    }

    async fn status(&self) -> Value {
        match &self.reaction {
            Reaction::Panic => panic!("no status"),
            Reaction::Gate(_) => std::future::pending().await,
            _ => json!({ "links": 2 }),
        }
    }

    fn dead_letters(&self) -> Vec<LetterRow> {
        vec![LetterRow {
            id: 7,
            what: "an event".to_owned(),
            process: None,
            event: None,
            link: 3,
            refused_at: 1,
            error: "not permitted".to_owned(),
        }]
    }

    /// There is one letter, 7.
    async fn replay(&self, id: Option<u64>) -> Vec<u64> {
        [7].into_iter()
            .filter(|letter| id.is_none_or(|id| id == *letter))
            .collect()
    }

    async fn discard(&self, id: u64) -> bool {
        id == 7
    }

    fn metrics(&self) -> String {
        match &self.reaction {
            Reaction::Panic => panic!("no metrics"),
            _ => "hax_links 2\n".to_owned(),
        }
    }

    fn fence(&self) -> Option<FenceHandle> {
        self.fence.clone()
    }
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).body(body.into()).unwrap()
}

struct Reply {
    status: StatusCode,
    headers: header::HeaderMap,
    json: Value,
}

async fn ask(router: &Router, request: Request<Body>) -> Reply {
    let head = request.method() == Method::HEAD;
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let json = if head {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).unwrap()
    };
    Reply {
        status: parts.status,
        headers: parts.headers,
        json,
    }
}

/// The status and the two fields of a refusal.
async fn refusal(router: &Router, request: Request<Body>) -> (u16, String, String) {
    let reply = ask(router, request).await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "application/json");
    let text = |field: &str| reply.json[field].as_str().unwrap().to_owned();
    assert_eq!(reply.json.as_object().unwrap().len(), 2);
    (reply.status.as_u16(), text("error"), text("detail"))
}

fn expect(status: u16, code: &str, detail: &str) -> (u16, String, String) {
    (status, code.to_owned(), detail.to_owned())
}
