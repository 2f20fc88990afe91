//! Bad input over HTTP: refused with the reason, and the bridge goes on serving.

use std::time::Duration;

use halink::HaState;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Bridge, Cluster, Settings, process, soon};

const SAMPLE: &str = include_str!("../data/watch-service-sample.json");

#[tokio::test]
async fn bad_input_is_refused_with_its_reason_and_the_next_post_is_handled() {
    let cluster = Cluster::small(1).await;
    let settings = Settings::default().with("http.body_limit", "'64KiB'");
    let bridge = Bridge::start_with(&cluster, settings).await;
    let sim = bridge.sim(2).await;
    let huge = json!([{ "Node": { "Node": "n" }, "Service": { "ID": "4" },
                        "Checks": [], "Padding": "x".repeat(70_000) }]);
    let deep = format!("[{{\"Padding\":{}", "[".repeat(60_000));
    let in_entry = |entry: &str| format!("[{{\"Node\":{{\"Node\":\"n\"}},{entry}}}]");
    for (path, body, status, error, detail) in [
        (
            "/",
            "[{\"Node\":".to_owned(),
            400,
            "malformed_json",
            "line 1 column 9",
        ),
        (
            "/",
            "[\n  {\"Node\" 1}]".to_owned(),
            400,
            "malformed_json",
            "line 2 column 11",
        ),
        (
            "/watch/checks",
            "hello".to_owned(),
            400,
            "malformed_json",
            "line 1 column 1",
        ),
        (
            "/",
            "[] []".to_owned(),
            400,
            "malformed_json",
            "trailing characters",
        ),
        ("/", deep, 400, "malformed_json", "EOF while parsing"),
        ("/", "{}".to_owned(), 422, "invalid_payload", "the payload"),
        ("/", "[{}]".to_owned(), 422, "invalid_payload", "Node"),
        ("/", "[1]".to_owned(), 422, "invalid_payload", "[0]"),
        (
            "/",
            in_entry("\"Service\":{\"ID\":7}"),
            422,
            "invalid_payload",
            "[0].Service.ID",
        ),
        (
            "/watch/service",
            in_entry("\"Service\":{\"ID\":\"0x7300000000000001:0x4\"}"),
            422,
            "invalid_payload",
            "[0].Service.ID",
        ),
        (
            "/watch/service",
            in_entry("\"Service\":{\"ID\":\"4\"},\"Checks\":[{\"Status\":\"fine\"}]"),
            422,
            "invalid_payload",
            "[0].Checks[0].Status",
        ),
        (
            "/watch/keyprefix",
            "[{\"Key\":\"m0conf/x\",\"Value\":\"*\"}]".to_owned(),
            422,
            "invalid_payload",
            "[0].Value",
        ),
        ("/", huge.to_string(), 413, "too_large", "65536"),
        (
            "/watch/sevrice",
            SAMPLE.to_owned(),
            404,
            "not_found",
            "/watch/sevrice",
        ),
        (
            "/v1/status",
            SAMPLE.to_owned(),
            405,
            "method_not_allowed",
            "/v1/status",
        ),
    ] {
        let start: String = body.chars().take(60).collect();
        let (code, answer) = bridge.post(path, body).await;
        assert_eq!(code, status, "{path} {start}: {answer}");
        assert_eq!(answer["error"], error, "{path} {start}: {answer}");
        let reason = answer["detail"].as_str().unwrap();
        assert!(reason.contains(detail), "{path} {start}: {reason}");
    }
    // No broadcast came of any of it.
    assert_eq!(bridge.counter("broadcasts").await, 0);
    let (code, outcome) = bridge.post("/", SAMPLE).await;
    assert_eq!(code, 200, "{outcome}");
    let state = sim.wait_state(process(4), HaState::Online);
    soon("the post to be told", state).await.unwrap();
    assert_eq!(bridge.status().await["phase"], "running");
}

#[tokio::test]
async fn bytes_that_are_no_request_end_their_connection_only() {
    let cluster = Cluster::small(0).await;
    let bridge = Bridge::start(&cluster).await;
    let address = bridge.url().replace("http://", "");
    // A body that ends before its announced length.
    let mut cut = TcpStream::connect(&address).await.unwrap();
    cut.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n[{")
        .await
        .unwrap();
    drop(cut);
    for garbage in [
        &b"\0\xff\xfe garbage\r\n\r\n"[..],
        b"HAXL\x01\0\x01\0",
        b"GET\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset ends the connection as well as an answer does.
        let read = stream.read_to_end(&mut answer);
        let _ = soon("the connection to end", read).await;
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60));
    let answer = client
        .build()
        .unwrap()
        .get(bridge.url())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(bridge.counter("broadcasts").await, 0);
}
