//! Lines of a pipe, bounded.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Reads lines; of a line that is longer than `max` bytes, `max + 1` bytes are kept and the rest is skipped.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    reader: BufReader<R>,
    max: usize,
    line: Vec<u8>,
    /// `line` has been given out.
    done: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(reader: R, max: usize) -> Self {
        Self {
            reader: BufReader::new(reader),
            max,
            line: Vec::new(),
            done: false,
        }
    }

    /// The next line without its end; `None` when there are no more. What follows the last newline is no
    /// line: its writer was cut short, and half a value looks like a value. Nothing is lost when the
    /// future is dropped.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if std::mem::take(&mut self.done) {
            self.line.clear();
        }
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let room = (self.max + 1).saturating_sub(self.line.len());
            self.line.extend(part.iter().take(room));
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                self.done = true;
                return Ok(Some(&self.line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: &[u8], max: usize) -> Vec<String> {
        let mut reader = LineReader::new(text, max);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        }
        lines
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_the_next_one_is_whole() {
        let read = all(b"one\n\nseventeen bytes..\nfour\n", 8).await;
        assert_eq!(read, ["one", "", "seventeen", "four"]);
    }

    #[tokio::test]
    async fn what_is_cut_short_by_the_end_is_no_line() {
        assert_eq!(all(b"one\ntw", 8).await, ["one"]);
    }
}
