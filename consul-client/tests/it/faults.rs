use std::time::Duration;

use consul_client::{Client, Config, Error};
use tokio::time::Instant;

use crate::fake::{Act, Fake, failure, http, ok};
use crate::harness::{TestAgent, soon, unique};

/// The error of a KV read answered like this.
async fn error_of(act: Act) -> Error {
    let fake = Fake::start(vec![act]).await;
    fake.client().kv().get("some/key").await.unwrap_err()
}

#[tokio::test]
async fn stopped_agent_is_a_retryable_connect_error() {
    let mut agent = TestAgent::start().await;
    let client = agent.client();
    client.kv().put("a", "x").await.unwrap();
    agent.stop();
    // The pooled connection is noticed to be dead at the latest by the second request.
    let _ = client.kv().get("a").await;
    let error = client.kv().get("a").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(error.is_retryable() && !error.is_maybe_applied());
    assert!(error.to_string().contains("/v1/kv/a"), "{error}");
}

#[tokio::test]
async fn silence_is_a_timeout_within_the_bound() {
    for act in [
        Act::Hang(Vec::new()),
        Act::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[".to_vec()),
    ] {
        let mut fake = Fake::start(vec![act]).await;
        let mut config = fake.config();
        config.request_timeout = Duration::from_millis(200);
        let client = Client::new(&config).unwrap();
        let begin = Instant::now();
        let error = soon("a timeout", client.kv().get("a")).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { limit, .. } if limit == config.request_timeout));
        assert!(error.is_retryable() && error.is_maybe_applied());
        assert!(begin.elapsed() >= config.request_timeout);
        assert!(
            begin.elapsed() < config.request_timeout * 20,
            "{:?}",
            begin.elapsed()
        );
        fake.hangup().await;
    }
}

#[tokio::test]
async fn reply_over_the_limit() {
    let agent = TestAgent::shared().await;
    let key = unique("over");
    agent
        .client()
        .kv()
        .put(&key, vec![b'x'; 5000])
        .await
        .unwrap();
    let mut config = Config::new(agent.address());
    config.max_body = 4096;
    let client = Client::new(&config).unwrap();
    let error = client.kv().get(&key).await.unwrap_err();
    assert!(
        matches!(error, Error::ReplyTooLarge { limit: 4096, .. }),
        "{error}"
    );
    assert!(!error.is_retryable());
    agent.client().kv().delete(&key).await.unwrap();
}

#[tokio::test]
async fn endless_reply_is_cut_off() {
    let mut reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..10 {
        reply.extend(b"3e8\r\n");
        reply.extend([b' '; 1000]);
        reply.extend(b"\r\n");
    }
    // The last chunk never comes: only the limit ends this.
    let mut fake = Fake::start(vec![Act::Hang(reply)]).await;
    let mut config = fake.config();
    config.max_body = 4096;
    let client = Client::new(&config).unwrap();
    let error = soon("a refusal", client.kv().get("a")).await.unwrap_err();
    assert!(matches!(error, Error::ReplyTooLarge { .. }), "{error}");
    fake.hangup().await;
}

#[tokio::test]
async fn malformed_replies_are_decode_errors_naming_the_path() {
    for act in [
        ok(1, "{"),
        ok(1, "{}"),
        ok(1, "[]"),
        ok(1, ""),
        ok(1, r#"[{"Key":"some/key","Value":"not base64!"}]"#),
        Act::Reply(http(
            "200 OK",
            "X-Consul-Index: many\r\n",
            r#"[{"Key":"k","Value":null}]"#,
        )),
    ] {
        let error = error_of(act).await;
        assert!(matches!(error, Error::Decode { .. }), "{error}");
        assert!(error.to_string().contains("/v1/kv/some/key"), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn broken_connection_is_retryable() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n["] {
        let error = error_of(Act::Reply(bytes.to_vec())).await;
        assert!(matches!(error, Error::Transport { .. }), "{error}");
        assert!(error.is_retryable() && error.is_maybe_applied());
    }
}

#[tokio::test]
async fn statuses() {
    let error = error_of(failure("500 Internal Server Error", "No cluster leader")).await;
    assert!(
        matches!(error, Error::NoLeader { .. }) && error.is_retryable(),
        "{error}"
    );
    let error = error_of(failure("503 Service Unavailable", "drain")).await;
    assert!(matches!(error, Error::Status { status: 503, .. }) && error.is_retryable());
    let error = error_of(failure("400 Bad Request", "no")).await;
    assert!(matches!(error, Error::Status { status: 400, .. }) && !error.is_retryable());
    // Without an index it is not Consul that says there is no such key.
    let error = error_of(failure("404 Not Found", "nginx")).await;
    assert!(
        matches!(error, Error::NotFound { .. }) && !error.is_retryable(),
        "{error}"
    );
    let error = error_of(failure("500 Internal Server Error", &"x".repeat(100_000))).await;
    assert!(error.to_string().len() < 1000);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let mut fake = Fake::start(vec![Act::Reply(http(
        "301 Moved Permanently",
        "Location: /v1/kv/other\r\n",
        "",
    ))])
    .await;
    let error = fake.client().kv().get("a").await.unwrap_err();
    assert!(
        matches!(error, Error::Status { status: 301, .. }),
        "{error}"
    );
    fake.request().await;
    assert_eq!(fake.more_requests(), 0);
}

#[tokio::test]
async fn known_leader_and_last_contact() {
    let headers = "X-Consul-Index: 7\r\nX-Consul-Knownleader: false\r\n\
        X-Consul-Lastcontact: 1500\r\n";
    let fake = Fake::start(vec![Act::Reply(http("200 OK", headers, "[]"))]).await;
    let response = fake.client().kv().list("").await.unwrap();
    assert_eq!(response.index.0, 7);
    assert!(!response.known_leader);
    assert_eq!(response.last_contact, Duration::from_millis(1500));
}

#[tokio::test]
async fn datacenter_is_sent() {
    let mut fake = Fake::start(vec![ok(1, "[]")]).await;
    let mut config = fake.config();
    config.datacenter = Some("dc 2".into());
    Client::new(&config)
        .unwrap()
        .catalog()
        .nodes()
        .await
        .unwrap();
    assert!(
        fake.request()
            .await
            .starts_with("GET /v1/catalog/nodes?dc=dc%202 HTTP/1.1")
    );
}
