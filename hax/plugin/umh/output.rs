//! What a command writes: all of it is read, and a bounded part is logged.

use std::cell::Cell;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::super::text::printable;

/// Lines of a run that are logged, of both streams together.
pub(super) const LINES_MAX: u64 = 64;

/// Bytes of a line that are logged.
pub(super) const LINE_MAX: usize = 1024;

/// Bytes read at once.
const CHUNK: usize = 8 << 10;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What the streams of a run have said so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    logged: Cell<u64>,
    left_out: Cell<u64>,
    cut: Cell<u64>,
}

/// How much was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    /// Lines that were logged.
    pub(super) logged: u64,
    /// Lines that were not.
    pub(super) left_out: u64,
    /// Bytes of lines that were logged, after what was logged of them.
    pub(super) cut: u64,
}

impl Output {
    pub(super) fn amount(&self) -> Amount {
        Amount {
            logged: self.logged.get(),
            left_out: self.left_out.get(),
            cut: self.cut.get(),
        }
    }

    /// Reads until the stream is closed. Lines that are complete are not lost when it is dropped.
    pub(super) async fn read(
        &self,
        stream: Stream,
        reader: Option<impl AsyncRead + Unpin>,
        log: &dyn Fn(Stream, &str),
    ) {
        let Some(mut reader) = reader else { return };
        let mut chunk = vec![0; CHUNK];
        let mut line = Line::default();
        loop {
            let read = match reader.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => chunk.get(..read).unwrap_or_default(),
            };
            let mut parts = read.split(|byte| *byte == b'\n');
            line.add(parts.next().unwrap_or_default());
            for part in parts {
                self.take(stream, &mut line, log);
                line.add(part);
            }
        }
        if !line.is_empty() {
            self.take(stream, &mut line, log);
        }
    }

    fn take(&self, stream: Stream, line: &mut Line, log: &dyn Fn(Stream, &str)) {
        let Line { kept, cut } = std::mem::take(line);
        if self.logged.get() >= LINES_MAX {
            self.left_out.set(self.left_out.get() + 1);
            return;
        }
        self.logged.set(self.logged.get() + 1);
        self.cut.set(self.cut.get() + cut);
        log(
            stream,
            &printable(&String::from_utf8_lossy(&kept), LINE_MAX),
        );
    }
}

/// The beginning of a line, without its end.
#[derive(Debug, Default)]
struct Line {
    kept: Vec<u8>,
    cut: u64,
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        let room = LINE_MAX.saturating_sub(self.kept.len()).min(bytes.len());
        let (kept, cut) = bytes.split_at(room);
        self.kept.extend_from_slice(kept);
        self.cut += cut.len() as u64;
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    async fn lines(bytes: &[u8]) -> (Vec<String>, Amount) {
        let output = Output::default();
        let lines = RefCell::new(Vec::new());
        let log = |_, line: &str| lines.borrow_mut().push(line.to_owned());
        output.read(Stream::Stdout, Some(bytes), &log).await;
        (lines.into_inner(), output.amount())
    }

    #[tokio::test]
    async fn lines_are_logged_one_by_one_without_control_characters() {
        let (lines, amount) = lines(b"one\r\n\ntw\x1bo\xff\nlast").await;
        assert_eq!(lines, ["one", "", "two\u{fffd}", "last"]);
        assert_eq!(amount.logged, 4);
        assert_eq!((amount.left_out, amount.cut), (0, 0));
    }

    #[tokio::test]
    async fn the_rest_of_a_long_line_is_counted() {
        // Longer than what is read at once.
        let long = format!("{}\nnext\n", "x".repeat(3 * CHUNK));
        let (lines, amount) = lines(long.as_bytes()).await;
        assert_eq!(lines, ["x".repeat(LINE_MAX), "next".to_owned()]);
        assert_eq!(amount.cut, (3 * CHUNK - LINE_MAX) as u64);
    }

    #[tokio::test]
    async fn both_streams_have_one_bound_and_the_rest_is_counted() {
        let output = Output::default();
        let logged = Cell::new(0);
        let log = |_, _: &str| logged.set(logged.get() + 1);
        let many = "line\n".repeat(50);
        output
            .read(Stream::Stdout, Some(many.as_bytes()), &log)
            .await;
        output
            .read(Stream::Stderr, Some(many.as_bytes()), &log)
            .await;
        assert_eq!(logged.get(), LINES_MAX);
        assert_eq!(output.amount().logged, LINES_MAX);
        assert_eq!(output.amount().left_out, 100 - LINES_MAX);
    }
}
