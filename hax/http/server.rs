//! Connections: accepted within a limit, served with HTTP/1.1, drained at the end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::router::{Shared, routes};
use super::socket::Socket;
use super::{Bridge, Limits};

/// Lines of a request's head at most.
const HEADERS_MAX: usize = 64;
/// Bytes of a request's head at most.
const HEADER_MAX: usize = 16 << 10;
/// Bytes buffered per connection.
const BUFFER_MAX: usize = 64 << 10;
/// Pause after an accept that failed for want of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then finishes the requests under way, within `limits.drain`.
///
/// # Errors
/// The listener failed; connections have been drained then as well.
pub async fn serve<B: Bridge>(
    listener: TcpListener,
    bridge: B,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let mut shared = Shared::new(bridge, &limits);
    shared.closing = shutdown.child_token();
    let (kill, requests) = (shared.kill.clone(), shared.tasks.clone());
    let connections = TaskTracker::new();
    let closing = shared.closing.clone();

    let server = Server {
        router: routes(shared),
        limits,
        closing: closing.clone(),
        kill: kill.clone(),
    };
    let result = server.accept(listener, &connections).await;

    closing.cancel();
    connections.close();
    requests.close();
    let drained = async {
        connections.wait().await;
        requests.wait().await;
    };
    let mut drained = pin!(drained);
    if timeout(server.limits.drain, &mut drained).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            requests = requests.len(),
            "HTTP requests outlast the drain; ending them"
        );
        kill.cancel();
        drained.await;
    }
    result
}

struct Server {
    router: Router,
    limits: Limits,
    /// No further request on any connection.
    closing: CancellationToken,
    /// Drop the connections.
    kill: CancellationToken,
}

impl Server {
    /// Accepts until told to close; the listener is closed when this returns.
    async fn accept(&self, listener: TcpListener, connections: &TaskTracker) -> io::Result<()> {
        let slots = Arc::new(Semaphore::new(
            self.limits.connections.min(Semaphore::MAX_PERMITS),
        ));
        let next = async || {
            let slot = Arc::clone(&slots)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            io::Result::Ok((slot, stream))
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.closing.cancelled() => return Ok(()),
                accepted = next() => accepted,
            };
            match accepted {
                Ok((slot, stream)) => {
                    let connection = self.connection(stream);
                    connections.spawn(async move {
                        let _slot = slot;
                        connection.await;
                    });
                }
                Err(error) if concerns_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) if is_exhaustion(&error) => {
                    tracing::warn!(%error, "cannot accept HTTP connections for now");
                    tokio::select! {
                        () = self.closing.cancelled() => return Ok(()),
                        () = sleep(EXHAUSTED_PAUSE) => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn connection(&self, stream: TcpStream) -> impl Future<Output = ()> + Send + 'static {
        let (closing, kill) = (self.closing.clone(), self.kill.clone());
        let service = TowerToHyperService::new(self.router.clone());
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEADER_MAX)
            .max_buf_size(BUFFER_MAX);
        let write_timeout = self.limits.write_timeout;
        async move {
            // Replies are small, and written at once.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY was refused");
            }
            let socket = TokioIo::new(Socket::new(stream, write_timeout));
            let mut connection = pin!(http.serve_connection(socket, service));
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        biased;
                        ended = connection => ended,
                        () = kill.cancelled() => return,
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
