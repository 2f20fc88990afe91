//! The watchdog process's end of its connection with a daemon. Nothing here waits.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use super::wire::{LINE_MAX, Order, Report, check_peer, line};

/// Bytes that are read at one time.
const CHUNK: usize = 64 * 1024;

/// One daemon.
#[derive(Debug)]
pub(super) struct Feed {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Feed {
    /// The daemon that has connected.
    ///
    /// # Errors
    /// There is none; it is another user's.
    pub(super) fn accept(listener: &UnixListener) -> io::Result<Self> {
        let (stream, _) = listener.accept()?;
        check_peer(&stream)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The orders that have come.
    ///
    /// # Errors
    /// The daemon has gone, or says what cannot be understood.
    pub(super) fn read(&mut self) -> io::Result<Vec<Order>> {
        let mut chunk = vec![0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(size) => self
                .unread
                .extend_from_slice(chunk.get(..size).unwrap_or_default()),
            Err(error) if is_later(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let Some(end) = self.unread.iter().rposition(|byte| *byte == b'\n') else {
            if self.unread.len() > LINE_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            return Ok(Vec::new());
        };
        let rest = self.unread.split_off(end + 1);
        let lines = std::mem::replace(&mut self.unread, rest);
        let lines = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let orders = lines.map(|line| serde_json::from_slice(line).map_err(io::Error::other));
        orders.collect()
    }

    /// Says it.
    ///
    /// # Errors
    /// The daemon does not read, or has gone.
    pub(super) fn say(&mut self, report: &Report) -> io::Result<()> {
        self.stream.write_all(&line(report))
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
