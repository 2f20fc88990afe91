use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use futures_util::stream;
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;

fn limits() -> Limits {
    Limits::with_body(4096)
}

#[tokio::test]
async fn the_server_says_that_it_is_alive() {
    let router = router(Recorder::accepting(), &limits());
    let reply = ask(&router, Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json["version"], env!("CARGO_PKG_VERSION"));
    assert!(reply.json["uptime_seconds"].is_u64());
    assert_eq!(
        ask(&router, Request::head("/").body(Body::empty()).unwrap())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn status_is_what_the_bridge_says() {
    let get = || Request::get("/v1/status").body(Body::empty()).unwrap();
    let reply = ask(&router(Recorder::accepting(), &limits()), get()).await;
    assert_eq!(
        (reply.status.as_u16(), reply.json),
        (200, json!({ "links": 2 }))
    );
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_tells_no_status_is_busy() {
    let gate = Reaction::Gate(Arc::new(Semaphore::new(0)));
    let router = router(Recorder::new(gate), &limits());
    let get = Request::get("/v1/status").body(Body::empty()).unwrap();
    assert_eq!(
        refusal(&router, get).await,
        expect(503, "busy", "the bridge did not tell its status in time")
    );
}

#[tokio::test]
async fn a_watch_post_is_answered_with_what_became_of_it() {
    let bridge = Recorder::accepting();
    let router = router(bridge.clone(), &limits());
    for (path, content_type) in [("/", "application/json"), ("/watch/service", "text/plain")] {
        let mut request = post(path, SAMPLE);
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let reply = ask(&router, request).await;
        let expected = json!({ "notes": 3, "links": 2, "ignored": 0 });
        assert_eq!((reply.status.as_u16(), reply.json), (200, expected));
    }
    let updates = bridge.updates();
    assert_eq!(updates.len(), 2);
    assert!(matches!(&updates[0], WatchUpdate::Services(services) if services.len() == 1));
    assert_eq!(
        ask(&router, post("/watch/nodes", "[{\"Node\":\"a\"}]"))
            .await
            .status,
        200
    );
    assert_eq!(
        bridge.updates()[2],
        WatchUpdate::Nodes(vec!["a".to_owned()])
    );
    let pair = r#"[{"Key":"x","Value":null}]"#;
    assert_eq!(
        ask(&router, post("/watch/keyprefix", pair)).await.json["ignored"],
        1
    );
    let check = r#"[{"Node":"n","CheckID":"x","Status":"passing"}]"#;
    assert_eq!(
        ask(&router, post("/watch/checks", check)).await.json["ignored"],
        1
    );
}

#[tokio::test]
async fn refusals_name_what_where_and_what_to_do() {
    let bridge = Recorder::accepting();
    let router = router(bridge.clone(), &limits());
    let not_found = "no such resource: /nope; resources are /, /metrics, /v1/status, /v1/dead-letters, /v1/fence, /v1/plugins and \
                     /watch/{service,checks,nodes,keyprefix}";
    for (request, expected) in [
        (post("/nope", "[]"), expect(404, "not_found", not_found)),
        (
            post("/v1/status", ""),
            expect(
                405,
                "method_not_allowed",
                "POST is not possible on /v1/status; the Allow header names what is",
            ),
        ),
        (
            Request::delete("/").body(Body::empty()).unwrap(),
            expect(
                405,
                "method_not_allowed",
                "DELETE is not possible on /; the Allow header names what is",
            ),
        ),
        (
            post("/", "[\n  {]"),
            expect(
                400,
                "malformed_json",
                "the body is not JSON: key must be a string at line 2 column 4",
            ),
        ),
        (
            post("/", "[{"),
            expect(
                400,
                "malformed_json",
                "the body is not JSON: EOF while parsing an object at line 1 column 2",
            ),
        ),
        (
            post("/watch/nodes", "[] []"),
            expect(
                400,
                "malformed_json",
                "the body is not JSON: trailing characters at line 1 column 4",
            ),
        ),
        (
            post("/watch/nodes", "[\n{\"Node\": 5}]"),
            expect(
                422,
                "invalid_payload",
                "[0].Node: invalid type: integer `5`, expected a string at line 2 column 10",
            ),
        ),
        (
            post("/", "x".repeat(4097)),
            expect(
                413,
                "too_large",
                "the body is larger than 4096 bytes; raise http.body_limit, or narrow the watch",
            ),
        ),
    ] {
        assert_eq!(refusal(&router, request).await, expected);
    }
    assert_eq!(bridge.updates(), []);
    let reply = ask(&router, post("/v1/status", "")).await;
    assert_eq!(reply.headers[header::ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn a_long_text_of_the_sender_is_not_repeated_in_full() {
    let router = router(Recorder::accepting(), &limits());
    let payload = json!([{ "Node": { "Node": "n" }, "Service": { "ID": "x".repeat(3000) } }]);
    let (status, _, detail) = refusal(&router, post("/", payload.to_string())).await;
    assert_eq!(status, 422);
    assert!(detail.starts_with("[0].Service.ID: "), "{detail}");
    assert!(detail.chars().count() <= 400);
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_while_it_streams() {
    let router = router(Recorder::accepting(), &limits());
    let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1000])));
    let (status, code, _) = refusal(&router, post("/", Body::from_stream(chunks))).await;
    assert_eq!((status, code.as_str()), (413, "too_large"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_the_request() {
    let router = router(Recorder::accepting(), &limits());
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    assert_eq!(
        refusal(&router, post("/", never)).await,
        expect(
            408,
            "timeout",
            "the body did not arrive within 10 s; send it faster, or in smaller parts"
        )
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let router = router(Recorder::accepting(), &limits());
    let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other(
        "cut",
    ))]));
    assert_eq!(
        refusal(&router, post("/", broken)).await,
        expect(
            400,
            "broken_body",
            "the body could not be read: cut; check its framing, and send it again"
        )
    );
}

#[tokio::test]
async fn bodies_under_way_share_one_budget() {
    let router = router(Recorder::accepting(), &limits());
    // Four bodies of the largest size, each waiting for its end.
    let (held, mut arrived) = tokio::sync::mpsc::channel(8);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let held = held.clone();
        let body = stream::unfold(0, move |step| {
            let held = held.clone();
            async move {
                if step == 0 {
                    return Some((
                        Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096])),
                        1,
                    ));
                }
                // Polled again: the first part has been taken.
                held.send(()).await.unwrap();
                std::future::pending().await
            }
        });
        let request = post("/", Body::from_stream(body));
        clients.push(tokio::spawn(router.clone().oneshot(request)));
    }
    for _ in 0..4 {
        arrived.recv().await.unwrap();
    }
    assert_eq!(
        refusal(&router, post("/", "[]")).await,
        expect(
            503,
            "busy",
            "too many large bodies at once; post this one again"
        )
    );
    for client in clients {
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
    }
    assert_eq!(ask(&router, post("/", "[]")).await.status, 200);
}

#[tokio::test]
async fn the_bridges_refusals_are_passed_on() {
    for (error, expected) in [
        (
            WatchError::Busy,
            expect(
                503,
                "busy",
                "64 broadcasts wait already; post the payload again",
            ),
        ),
        (
            WatchError::Stopping,
            expect(503, "stopping", "the bridge is stopping"),
        ),
    ] {
        let router = router(Recorder::new(Reaction::Refuse(error)), &limits());
        assert_eq!(refusal(&router, post("/", "[]")).await, expected);
        let reply = ask(&router, post("/", "[]")).await;
        assert!(
            reply.headers.contains_key(header::RETRY_AFTER),
            "{expected:?}"
        );
    }
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let router = router(Recorder::new(Reaction::Panic), &limits());
    let internal = expect(
        500,
        "internal",
        "the request failed inside hax; the log says where",
    );
    // Twice: the first must not leave the lane locked.
    assert_eq!(refusal(&router, post("/", "[]")).await, internal);
    assert_eq!(refusal(&router, post("/", "[]")).await, internal);
    let get = Request::get("/v1/status").body(Body::empty()).unwrap();
    assert_eq!(refusal(&router, get).await, internal);
}

#[tokio::test]
async fn watch_posts_are_handled_one_at_a_time_in_order() {
    let gate = Arc::new(Semaphore::new(0));
    let bridge = Recorder::new(Reaction::Gate(Arc::clone(&gate)));
    let limits = Limits {
        waiting: 3,
        ..limits()
    };
    let router = router(bridge.clone(), &limits);
    let nodes = |name: usize| {
        post(
            "/watch/nodes",
            json!([{ "Node": format!("n{name}") }]).to_string(),
        )
    };
    // Polled once in this order, so this is the order of arrival.
    let mut posts: Vec<_> = (0..4)
        .map(|nr| Box::pin(router.clone().oneshot(nodes(nr))))
        .collect();
    for post in &mut posts {
        assert!(futures_util::poll!(post).is_pending());
    }
    bridge.until_running(1).await;
    assert_eq!(
        refusal(&router, nodes(9)).await,
        expect(
            503,
            "busy",
            "too many watch posts wait; post this one again"
        )
    );
    gate.add_permits(4);
    for post in futures_util::future::join_all(posts).await {
        assert_eq!(post.unwrap().status(), 200);
    }
    let names: Vec<_> = (0..4)
        .map(|nr| WatchUpdate::Nodes(vec![format!("n{nr}")]))
        .collect();
    assert_eq!(bridge.updates(), names);
    assert_eq!(bridge.most_at_once(), 1);
}

#[tokio::test]
async fn an_update_is_finished_when_its_client_has_gone() {
    let gate = Arc::new(Semaphore::new(0));
    let bridge = Recorder::new(Reaction::Gate(Arc::clone(&gate)));
    let router = router(bridge.clone(), &limits());
    let client = tokio::spawn(router.clone().oneshot(post("/watch/nodes", "[]")));
    bridge.until_running(1).await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    gate.add_permits(1);
    bridge.until_running(0).await;
    assert_eq!(bridge.updates(), [WatchUpdate::Nodes(vec![])]);
}

#[test]
fn the_limits_of_the_daemon_are_those_documented() {
    let limits = Limits::with_body(1);
    assert_eq!((limits.waiting, limits.connections), (64, 256));
    assert_eq!(limits.body_timeout, Duration::from_secs(10));
}
