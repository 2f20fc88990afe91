//! What an agent writes: all of it is read, and a bounded part is kept.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::ioctl_fionbio;

use super::wire::Tail;

/// Bytes kept of the end of a stream.
const TAIL: usize = 4096;

/// Bytes taken at once. Between two of them there is time to look at the deadline.
const CHUNK: usize = 64 << 10;

/// Chunks that are read after the agent's end, lest somebody who has left its group writes for ever.
const LAST_CHUNKS: usize = 64;

/// A stream of the agent.
#[derive(Debug)]
pub(super) struct Output<R> {
    stream: Option<R>,
    head: Vec<u8>,
    head_max: usize,
    tail: VecDeque<u8>,
    total: u64,
}

impl<R: Read + AsFd> Output<R> {
    /// # Errors
    /// The stream cannot be made non-blocking.
    pub(super) fn new(stream: Option<R>, head_max: usize) -> io::Result<Self> {
        if let Some(stream) = &stream {
            ioctl_fionbio(stream, true)?;
        }
        Ok(Self {
            stream,
            head: Vec::new(),
            head_max,
            tail: VecDeque::with_capacity(TAIL),
            total: 0,
        })
    }

    /// While it is open.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// Takes a chunk of what is there; whether there was something.
    pub(super) fn take(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let mut chunk = vec![0; CHUNK];
        match stream.read(&mut chunk) {
            Ok(0) => {
                self.stream = None;
                false
            }
            Ok(size) => {
                self.keep(chunk.get(..size).unwrap_or_default());
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.stream = None;
                false
            }
        }
    }

    /// Takes what is there after the agent's end. Its children may still have the stream open: the
    /// end of the stream is not waited for.
    pub(super) fn finish(mut self) -> (Option<String>, Tail) {
        let mut chunks = 0;
        while chunks < LAST_CHUNKS && self.take() {
            chunks += 1;
        }
        let all = usize::try_from(self.total).is_ok_and(|total| total <= self.head_max);
        let head = all.then(|| String::from_utf8_lossy(&self.head).into_owned());
        let kept = u64::try_from(self.tail.len()).unwrap_or(0);
        let text = String::from_utf8_lossy(self.tail.make_contiguous()).into_owned();
        let cut = self.total.saturating_sub(kept);
        (head, Tail { text, cut })
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.total += u64::try_from(bytes.len()).unwrap_or(0);
        let room = self.head_max.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(room));
        let skip = bytes.len().saturating_sub(TAIL);
        self.tail.extend(bytes.iter().skip(skip));
        let more = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: &[u8], head_max: usize) -> (Option<String>, Tail) {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut output = Output::new(Some(reader), head_max).unwrap();
        for part in bytes.chunks(1000) {
            io::Write::write_all(&mut writer, part).unwrap();
            assert!(output.take());
        }
        drop(writer);
        output.finish()
    }

    #[test]
    fn the_head_is_whole_or_not_there_and_the_tail_is_the_last_bytes() {
        assert_eq!(kept(b"1\n2\n", 4).0.as_deref(), Some("1\n2\n"));
        assert_eq!(kept(b"1\n2\n3", 4).0, None);
        let many: Vec<u8> = (0..20_000).map(|n: u32| b'a' + (n % 26) as u8).collect();
        let (_, tail) = kept(&many, 0);
        assert_eq!(tail.cut, 20_000 - TAIL as u64);
        assert_eq!(tail.text.as_bytes(), &many[20_000 - TAIL..]);
    }

    #[test]
    fn an_open_stream_is_not_waited_for() {
        let (reader, _writer) = io::pipe().unwrap();
        let output = Output::new(Some(reader), 10).unwrap();
        assert_eq!(output.finish().0.as_deref(), Some(""));
    }
}
