//! A Consul that gives the answers a real one gives rarely: the same index for something else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use consul_client::{Client, Config};
use halink::{Fid, HaState};
use hax::cluster::Snapshot;
use tokio::sync::watch;

use super::{Followed, drive, drive_key, same};
use crate::harness::process;

/// What the servers hold.
#[derive(Debug, Clone)]
struct Content {
    store: u64,
    conf: (u64, HaState),
    processes: (u64, &'static str),
    checks: (u64, Option<Fid>),
    broken: bool,
    /// Whether replies tell an index.
    indexed: bool,
    /// Whether replies are kept back when they are made.
    held: bool,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            store: 20,
            conf: (10, HaState::Repair),
            processes: (20, "STARTED"),
            checks: (30, None),
            broken: false,
            indexed: true,
            held: false,
        }
    }
}

#[derive(Debug)]
struct Server {
    content: watch::Sender<Content>,
    /// Replies that are kept back.
    keeps: watch::Sender<usize>,
}

type Shared = Arc<Server>;

struct Fake {
    server: Shared,
    client: Client,
}

impl Fake {
    async fn start() -> Self {
        let server = Arc::new(Server {
            content: watch::Sender::new(Content::default()),
            keeps: watch::Sender::new(0),
        });
        let app = Router::new()
            .route("/v1/kv/{*key}", get(kv))
            .route("/v1/health/state/critical", get(checks))
            .with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            server,
            client: Client::new(&Config::new(address)).unwrap(),
        }
    }

    /// Changes the content; blocking queries whose index stays hear nothing of it.
    fn set(&self, change: impl FnOnce(&mut Content)) {
        self.server.content.send_modify(change);
    }
}

fn parameters(RawQuery(query): RawQuery) -> HashMap<String, String> {
    let query = query.unwrap_or_default();
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Answers when the index is beyond the one the query waits at, or never.
async fn answer(
    server: &Server,
    query: &HashMap<String, String>,
    reply: impl Fn(&Content) -> (u64, Option<String>),
) -> Response {
    let known: u64 = query.get("index").map_or(0, |index| index.parse().unwrap());
    let mut content = server.content.subscribe();
    let ready = content.wait_for(|content| content.broken || reply(content).0 != known);
    let found = ready.await.unwrap().clone();
    if found.held && known == 0 {
        server.keeps.send_modify(|keeps| *keeps += 1);
        content.wait_for(|content| !content.held).await.unwrap();
    }
    let content = found;
    if content.broken {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (index, body) = reply(&content);
    let mut headers = HeaderMap::new();
    if content.indexed {
        headers.insert("X-Consul-Index", index.into());
    }
    match body {
        Some(body) => (headers, body).into_response(),
        None => (StatusCode::NOT_FOUND, headers).into_response(),
    }
}

async fn kv(State(server): State<Shared>, path: Path<String>, query: RawQuery) -> Response {
    let query = parameters(query);
    let listing = |index: u64, key: String, value: String| {
        let body = if query.contains_key("keys") {
            "[]".to_owned()
        } else {
            use base64::Engine as _;
            let value = base64::engine::general_purpose::STANDARD.encode(value);
            format!(r#"[{{"Key":"{key}","Value":"{value}","ModifyIndex":{index}}}]"#)
        };
        (index, Some(body))
    };
    answer(&server, &query, |content| match path.as_str() {
        "m0conf/" => {
            let (index, state) = content.conf;
            listing(index, drive_key(1), format!(r#"{{"state":"{state}"}}"#))
        }
        "processes/" => {
            let (index, event) = content.processes;
            let prefix = "M0_CONF_HA_PROCESS_";
            let value = format!(r#"{{"state":"{prefix}{event}","type":"{prefix}M0D"}}"#);
            listing(index, format!("processes/{}", process(1)), value)
        }
        _ => (content.store, None),
    })
    .await
}

async fn checks(State(server): State<Shared>, query: RawQuery) -> Response {
    let query = parameters(query);
    answer(&server, &query, |content| {
        let (index, failing) = content.checks;
        let check = failing.map(|process| {
            format!(
                r#"{{"Node":"n","CheckID":"c","Status":"critical","ServiceID":"{process}",
                     "ModifyIndex":{index}}}"#
            )
        });
        (index, Some(format!("[{}]", check.unwrap_or_default())))
    })
    .await
}

fn states(snapshot: &Snapshot) -> (Option<HaState>, bool, bool) {
    (
        snapshot.state_of(drive(1)),
        snapshot.processes.up_since(process(1)).is_some(),
        snapshot.failing.processes.contains_key(&process(1)),
    )
}

const OLD: (Option<HaState>, bool, bool) = (Some(HaState::Repair), true, false);
const NEW: (Option<HaState>, bool, bool) = (Some(HaState::Repaired), false, true);

/// Other content, under the same indexes.
fn replace(content: &mut Content) {
    content.conf.1 = HaState::Repaired;
    content.processes.1 = "STOPPING";
    content.checks.1 = Some(process(1));
}

#[tokio::test]
async fn nothing_is_read_while_the_indexes_stay() {
    let fake = Fake::start().await;
    let followed = Followed::new(&fake.client);
    let before = followed.fresh().await;
    assert_eq!(states(&before), OLD);
    fake.set(replace);
    let after = followed.fresh().await;
    assert_eq!(same(&before, &after), [true; 3], "this test tests nothing");
}

#[tokio::test]
async fn after_a_failure_no_index_is_trusted() {
    let fake = Fake::start().await;
    let followed = Followed::new(&fake.client);
    assert_eq!(states(&followed.fresh().await), OLD);
    fake.set(|content| content.broken = true);
    // The followers notice; nobody asks.
    crate::harness::eventually("the failure to be noticed", async || {
        followed.view.last_error().map(drop)
    })
    .await;
    fake.set(|content| {
        replace(content);
        content.broken = false;
    });
    followed
        .wait("the other content", |view| states(view) == NEW)
        .await;
    assert_eq!(states(&followed.fresh().await), NEW);
}

#[tokio::test]
async fn an_index_that_goes_backwards_in_one_part_distrusts_all() {
    for (what, back) in [
        (
            "m0conf",
            (|content| {
                content.conf.0 -= 1;
                content.store += 1;
            }) as fn(&mut Content),
        ),
        ("the store", |content| content.store -= 1),
        ("processes", |content| content.processes.0 -= 1),
        ("checks", |content| content.checks.0 -= 1),
    ] {
        let fake = Fake::start().await;
        let followed = Followed::new(&fake.client);
        assert_eq!(states(&followed.fresh().await), OLD, "{what}");
        fake.set(|content| {
            replace(content);
            back(content);
        });
        assert_eq!(states(&followed.fresh().await), NEW, "{what}");
        followed
            .wait("the other content", |view| states(view) == NEW)
            .await;
    }
}

/// Who asks when Consul has answered already, but nobody has seen the answer, is not told that.
#[tokio::test]
async fn who_asks_during_a_look_waits_for_the_next() {
    let fake = Fake::start().await;
    let followed = Followed::new(&fake.client);
    followed.fresh().await;
    fake.set(|content| content.held = true);
    let early = followed.fresh();
    let late = async {
        let mut keeps = fake.server.keeps.subscribe();
        keeps.wait_for(|keeps| *keeps >= 3).await.unwrap();
        fake.set(|content| {
            replace(content);
            content.store += 1;
            content.conf.0 = content.store;
            content.processes.0 = content.store;
            content.checks.0 += 1;
        });
        let release = async { fake.set(|content| content.held = false) };
        // The view is asked first, and only then the answers leave.
        let (late, ()) = futures_util::future::join(followed.fresh(), release).await;
        late
    };
    let (_, late) = futures_util::future::join(early, late).await;
    assert_eq!(states(&late), NEW);
}

/// The index of a prefix falls back when Consul forgets a deletion, so it may be the same again.
#[tokio::test]
async fn an_index_is_trusted_for_a_while_only() {
    let fake = Fake::start().await;
    let followed = Followed::new(&fake.client);
    assert_eq!(states(&followed.fresh().await), OLD);
    fake.set(replace);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(301)).await;
    tokio::time::resume();
    assert_eq!(states(&followed.fresh().await), NEW);
}

#[tokio::test]
async fn without_an_index_everything_is_read() {
    let fake = Fake::start().await;
    fake.set(|content| content.indexed = false);
    let followed = Followed::new(&fake.client);
    // A missing key without an index is no answer of Consul; nothing can be proved.
    let error = followed.view.fresh().await.unwrap_err();
    assert!(
        matches!(error, consul_client::Error::NotFound { .. }),
        "{error}"
    );
    fake.set(|content| content.indexed = true);
    assert_eq!(states(&followed.fresh_at_last().await), OLD);
}
