//! One HTTP connection with as little around it as can be: what it costs is Consul's cost.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Http {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    _driver: AbortOnDropHandle<()>,
}

impl Http {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // Its error is told to the request that waits for an answer.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            host: address.to_string(),
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// Also for a status that is no success.
    pub(super) async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header("host", &self.host)
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await;
        let response = response.with_context(|| format!("{method} {}{path}", self.host))?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body);
            bail!("{method} {}{path}: {status}: {text}", self.host);
        }
        Ok(body)
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Bytes> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn put(&mut self, path: &str, body: Bytes) -> Result<Bytes> {
        self.send(Method::PUT, path, body).await
    }
}
