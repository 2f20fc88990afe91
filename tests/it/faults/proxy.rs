//! A way to Consul on which requests can be held up, and connections break.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

/// Forwards connections to Consul. While it is shut, it takes transactions and keeps them.
pub(super) struct Proxy {
    pub(super) address: String,
    consul: String,
    shut: watch::Sender<bool>,
    broken: watch::Sender<Option<&'static str>>,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Proxy {
    pub(super) async fn start(consul: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let proxy = Self {
            address,
            consul: consul.clone(),
            shut: watch::Sender::new(false),
            broken: watch::Sender::new(None),
            kept: Arc::default(),
        };
        let way = Way {
            consul,
            shut: proxy.shut.subscribe(),
            broken: proxy.broken.subscribe(),
            kept: Arc::clone(&proxy.kept),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(way.clone().serve(client));
            }
        });
        proxy
    }

    pub(super) fn set_shut(&self, shut: bool) {
        self.shut.send_replace(shut);
    }

    /// Breaks the connections of this request, and those on which it comes from now on.
    pub(super) fn break_off(&self, request: &'static str) {
        self.broken.send_replace(Some(request));
    }

    /// Breaks no more connections.
    pub(super) fn mend(&self) {
        self.broken.send_replace(None);
    }

    /// Requests kept so far.
    pub(super) async fn kept(&self) -> usize {
        self.kept.lock().await.len()
    }

    /// Sends the requests kept to Consul, one after another, and returns its answers.
    pub(super) async fn release(&self) -> Vec<String> {
        let mut answers = Vec::new();
        for request in self.kept.lock().await.drain(..) {
            let mut stream = TcpStream::connect(&self.consul).await.unwrap();
            stream.write_all(&request).await.unwrap();
            let mut answer = vec![0; 4_096];
            let n = stream.read(&mut answer).await.unwrap();
            answers.push(String::from_utf8_lossy(&answer[..n]).into_owned());
        }
        answers
    }
}

/// What a connection is made with.
#[derive(Clone)]
struct Way {
    consul: String,
    shut: watch::Receiver<bool>,
    broken: watch::Receiver<Option<&'static str>>,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Way {
    /// One connection. Our client writes a small request in one piece, and the next one when it
    /// has its answer.
    async fn serve(mut self, mut client: TcpStream) {
        let mut server = TcpStream::connect(&self.consul).await.unwrap();
        let mut request = vec![0; 65_536];
        let mut answer = vec![0; 65_536];
        loop {
            tokio::select! {
                read = client.read(&mut request) => {
                    let Ok(n @ 1..) = read else { return };
                    if self.is_broken(&request) {
                        return;
                    }
                    if *self.shut.borrow() && request.starts_with(b"PUT /v1/txn ") {
                        self.kept.lock().await.push(request[..n].to_vec());
                        // The client gives up and closes; nothing more comes from it.
                        while let Ok(1..) = client.read(&mut request).await {}
                        return;
                    }
                    if server.write_all(&request[..n]).await.is_err() {
                        return;
                    }
                }
                read = server.read(&mut answer) => {
                    let Ok(n @ 1..) = read else { return };
                    if client.write_all(&answer[..n]).await.is_err() {
                        return;
                    }
                }
                Ok(()) = self.broken.changed() => {
                    if self.is_broken(&request) {
                        return;
                    }
                }
            }
        }
    }

    fn is_broken(&self, request: &[u8]) -> bool {
        let broken = *self.broken.borrow();
        broken.is_some_and(|broken| request.starts_with(broken.as_bytes()))
    }
}
