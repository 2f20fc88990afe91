//! Over real sockets: what a client can do to a connection.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::serve;
use super::*;

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(bridge: Recorder, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, bridge, limits, shutdown.clone()));
        Self {
            address,
            shutdown,
            task,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn short() -> Limits {
    Limits {
        body_timeout: Duration::from_millis(200),
        header_timeout: Duration::from_millis(200),
        ..Limits::with_body(64 << 10)
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Everything the server still says, until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// One reply with a Content-Length, its head included.
async fn one_reply(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    loop {
        reply.push(stream.read_u8().await.unwrap());
        let text = String::from_utf8_lossy(&reply);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return text.into_owned();
        }
    }
}

#[tokio::test]
async fn the_sample_is_taken_over_a_socket() {
    let bridge = Recorder::accepting();
    let server = Server::start(bridge.clone(), Limits::default()).await;
    let reply = client()
        .post(server.url("/"))
        .body(SAMPLE)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(
        reply.json::<Value>().await.unwrap(),
        json!({ "notes": 3, "links": 2, "ignored": 0 })
    );
    assert_eq!(bridge.updates().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_while_it_is_still_sent() {
    let server = Server::start(Recorder::accepting(), Limits::with_body(64 << 10)).await;
    // 8 MiB, far beyond what the sockets' buffers hold; with and without a length.
    let large = || vec![b' '; 8 << 20];
    let announced = client()
        .post(server.url("/"))
        .body(large())
        .send()
        .await
        .unwrap();
    assert_eq!(announced.status(), 413);
    assert_eq!(
        announced.json::<Value>().await.unwrap()["error"],
        "too_large"
    );

    let mut stream = server.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n")
        .await
        .unwrap();
    // The server must take in what it has refused, or the reply is lost in a reset.
    stream.write_all(&large()).await.unwrap();
    let reply = rest(&mut stream).await;
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
    assert!(reply.contains("\"error\":\"too_large\""), "{reply}");
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_its_body_slowly_is_let_go() {
    let server = Server::start(Recorder::accepting(), short()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n[")
        .await
        .unwrap();
    let reply = rest(&mut stream).await;
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
    assert!(reply.contains("\"error\":\"timeout\""), "{reply}");
    server.stop().await;
}

#[tokio::test]
async fn slow_and_idle_clients_hold_nothing() {
    let server = Server::start(
        Recorder::accepting(),
        Limits {
            connections: 2,
            ..short()
        },
    )
    .await;
    let mut idle = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HT").await.unwrap();
    // Both slots are taken; the third client is served once they have been let go.
    let reply = client().get(server.url("/")).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(rest(&mut idle).await, "");
    assert!(!rest(&mut slow).await.contains("200 OK"));
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_free_slot() {
    let gate = Arc::new(Semaphore::new(0));
    let bridge = Recorder::new(Reaction::Gate(Arc::clone(&gate)));
    let server = Server::start(
        bridge.clone(),
        Limits {
            connections: 1,
            ..Limits::default()
        },
    )
    .await;
    let mut first = server.connect().await;
    let post =
        b"POST /watch/nodes HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    first.write_all(post).await.unwrap();
    bridge.until_running(1).await;
    let second = tokio::spawn(client().get(server.url("/")).send());
    // More turns of the runtime than it takes to serve a request.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    gate.add_permits(1);
    assert!(rest(&mut first).await.starts_with("HTTP/1.1 200 "));
    drop(first);
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let limits = Limits {
        write_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::start(Recorder::accepting(), limits).await;
    let mut stream = server.connect().await;
    // Requests without end, and no reply is ever read: at some point the server can neither
    // write nor read, and closes. Then writing here fails.
    let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
    while stream.write_all(requests.as_bytes()).await.is_ok() {}
    server.stop().await;
}

#[tokio::test]
async fn connections_are_kept_and_requests_pipelined() {
    let bridge = Recorder::accepting();
    let server = Server::start(bridge.clone(), Limits::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        assert!(one_reply(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }
    let post = |name: &str| {
        let body = json!([{ "Node": name }]).to_string();
        format!(
            "POST /watch/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let burst = [
        post("a"),
        post("b"),
        "GET /nope HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        post("c"),
    ];
    stream.write_all(burst.concat().as_bytes()).await.unwrap();
    for status in ["200", "200", "404", "200"] {
        let reply = one_reply(&mut stream).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
    }
    let names = ["a", "b", "c"].map(|name| WatchUpdate::Nodes(vec![name.to_owned()]));
    assert_eq!(bridge.updates(), names);
    server.stop().await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let server = Server::start(Recorder::accepting(), Limits::default()).await;
    let long = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(20 << 10)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
        "X: x\r\n".repeat(100)
    );
    for head in [long, many] {
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let reply = rest(&mut stream).await;
        assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_http_harms_nobody() {
    let server = Server::start(Recorder::accepting(), Limits::default()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 400 "));
    assert_eq!(
        client().get(server.url("/")).send().await.unwrap().status(),
        200
    );
    server.stop().await;
}

#[tokio::test]
async fn a_request_under_way_is_finished_at_the_end() {
    let gate = Arc::new(Semaphore::new(0));
    let bridge = Recorder::new(Reaction::Gate(Arc::clone(&gate)));
    // No bound but the drain itself can end it.
    let long = Duration::from_secs(3600);
    let limits = Limits {
        drain: long,
        header_timeout: long,
        ..Limits::default()
    };
    let server = Server::start(bridge.clone(), limits).await;
    // Idle connections do not delay the end: one never used, one kept.
    let _unused = server.connect().await;
    let mut kept = server.connect().await;
    kept.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    one_reply(&mut kept).await;

    let url = server.url("/watch/nodes");
    let post = tokio::spawn(async move { client().post(url).body("[]").send().await });
    bridge.until_running(1).await;
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(rest(&mut kept).await, "");
    // The listener is closed before the drain begins.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    gate.add_permits(1);
    assert_eq!(post.await.unwrap().unwrap().status(), 200);
    stopping.await.unwrap();
    assert_eq!(bridge.updates().len(), 1);
}

#[tokio::test]
async fn the_drain_is_bounded() {
    let bridge = Recorder::new(Reaction::Gate(Arc::new(Semaphore::new(0))));
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Server::start(bridge.clone(), limits).await;
    let url = server.url("/watch/nodes");
    let post = tokio::spawn(async move { client().post(url).body("[]").send().await });
    bridge.until_running(1).await;
    server.stop().await;
    // The update has been dropped, and the client told or cut off.
    bridge.until_running(0).await;
    if let Ok(reply) = post.await.unwrap() {
        assert_eq!(reply.status(), 503);
    }
    assert_eq!(bridge.updates(), []);
}
