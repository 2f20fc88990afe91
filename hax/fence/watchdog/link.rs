//! The daemon's end of the connection with the watchdog process.

use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::process::{LINE_MAX, Order, Report, address, check_peer, line};

/// The program of this very process, even when its file has been replaced meanwhile.
const SELF: &str = "/proc/self/exe";

/// How long a watchdog process may take until it listens, and until it takes an order.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two tries to connect to one that has just been started.
const AGAIN: Duration = Duration::from_millis(20);

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Link {
    /// Connects to the watchdog process of this name, and starts it if there is none. Returns whether it
    /// was there before.
    ///
    /// # Errors
    /// It cannot be started; it does not listen; somebody else has its name.
    pub(super) async fn open(name: &str) -> io::Result<(Self, bool)> {
        match connect(name) {
            Ok(link) => return Ok((link, true)),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
        spawn(name)?;
        let end = Instant::now() + PATIENCE;
        loop {
            match connect(name) {
                Ok(link) => return Ok((link, false)),
                Err(error)
                    if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < end =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives an order.
    ///
    /// # Errors
    /// The process has gone, or takes no orders; the connection is of no use any more.
    pub(super) async fn give(&mut self, order: &Order) -> io::Result<()> {
        let line = line(order);
        match tokio::time::timeout(PATIENCE, self.stream.write_all(&line)).await {
            Ok(written) => written,
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// What it says next. Nothing is lost when this is dropped.
    ///
    /// # Errors
    /// The process has gone, or says what cannot be understood.
    pub(super) async fn next(&mut self) -> io::Result<Report> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                let line = std::mem::replace(&mut self.unread, rest);
                return serde_json::from_slice(&line).map_err(io::Error::other);
            }
            if self.unread.len() > LINE_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// It does not wait: the other end need not accept.
fn connect(name: &str) -> io::Result<Link> {
    let stream = std::os::unix::net::UnixStream::connect_addr(&address(name)?)?;
    check_peer(&stream)?;
    stream.set_nonblocking(true)?;
    Ok(Link {
        stream: UnixStream::from_std(stream)?,
        unread: Vec::new(),
    })
}

/// Starts it. It outlives this daemon; while this one lives, the runtime reaps it.
fn spawn(name: &str) -> io::Result<()> {
    let mut command = std::process::Command::new(SELF);
    command
        .arg0("hax-fence-watchdog")
        .args(["fence-watchdog", "--name", name])
        .env_clear()
        .env("PATH", crate::fence::executor::AGENT_PATH)
        .env("LANG", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    tokio::process::Command::from(command).spawn().map(drop)
}
