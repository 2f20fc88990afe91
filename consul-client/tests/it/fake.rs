//! A server that answers from a script, for replies a real Consul never gives.

use consul_client::{Client, Config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::harness::soon;

/// What to do with the next request.
pub(crate) enum Act {
    /// Send these bytes and close.
    Reply(Vec<u8>),
    /// Send these bytes and keep the connection open until the client closes it.
    Hang(Vec<u8>),
}

pub(crate) struct Fake {
    pub(crate) address: String,
    requests: mpsc::Receiver<String>,
    hangups: mpsc::Receiver<()>,
}

impl Fake {
    /// One connection per request; after the script every request hangs.
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (request, requests) = mpsc::channel(100);
        let (hangup, hangups) = mpsc::channel(100);
        tokio::spawn(async move {
            let mut script = script.into_iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                if request.send(head(&mut stream).await).await.is_err() {
                    return;
                }
                match script.next() {
                    Some(Act::Reply(bytes)) => {
                        let _ = stream.write_all(&bytes).await;
                    }
                    Some(Act::Hang(bytes)) => {
                        let _ = stream.write_all(&bytes).await;
                        tokio::spawn(until_closed(stream, hangup.clone()));
                    }
                    None => {
                        tokio::spawn(until_closed(stream, hangup.clone()));
                    }
                }
            }
        });
        Self {
            address,
            requests,
            hangups,
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(&self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.config()).unwrap()
    }

    /// The head of the next request.
    pub(crate) async fn request(&mut self) -> String {
        soon("a request", self.requests.recv()).await.unwrap()
    }

    /// How many requests have come that `request` did not return.
    pub(crate) fn more_requests(&self) -> usize {
        self.requests.len()
    }

    /// Waits until the client closes a hanging connection.
    pub(crate) async fn hangup(&mut self) {
        soon("the client closes the connection", self.hangups.recv())
            .await
            .unwrap();
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn until_closed(mut stream: TcpStream, hangup: mpsc::Sender<()>) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
    let _ = hangup.send(()).await;
}

/// A complete HTTP reply.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// A successful reply with an index.
pub(crate) fn ok(index: u64, body: &str) -> Act {
    Act::Reply(http(
        "200 OK",
        &format!("X-Consul-Index: {index}\r\n"),
        body,
    ))
}

/// A failure.
pub(crate) fn failure(status: &str, body: &str) -> Act {
    Act::Reply(http(status, "", body))
}
