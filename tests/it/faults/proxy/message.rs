//! HTTP/1.1 messages, one after another on a connection, as far as Consul and its client go.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// A request or an answer.
#[derive(Debug, Clone)]
pub(in crate::faults) struct Message {
    /// First line and headers, without those that say where the body ends.
    head: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Reads the next message; `None` if the connection has ended before it.
    pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
                "transfer-encoding" => chunked = true,
                _ => head.push(line.to_owned()),
            }
        }
        let mut body = vec![0; length];
        if chunked {
            body = read_chunks(from).await?;
        } else {
            from.read_exact(&mut body).await?;
        }
        Ok(Some(Self { head, body }))
    }

    /// An answer of the proxy's own.
    pub(super) fn status(status: u16) -> Self {
        Self {
            head: vec![format!("HTTP/1.1 {status} As Told")],
            body: b"a fault of the test".to_vec(),
        }
    }

    /// `METHOD /path?query` of a request, or `HTTP/1.1 status reason` of an answer.
    pub(in crate::faults) fn first_line(&self) -> &str {
        &self.head[0]
    }

    /// The status of an answer.
    pub(in crate::faults) fn code(&self) -> u16 {
        let code = self.first_line().split(' ').nth(1);
        code.and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Replaces a header, which is left out where there is no value.
    pub(super) fn set_header(&mut self, name: &str, value: Option<&str>) {
        let of = |line: &String| {
            let found = line.split(':').next().unwrap_or_default();
            found.eq_ignore_ascii_case(name)
        };
        self.head.retain(|line| !of(line));
        if let Some(value) = value {
            self.head.push(format!("{name}: {value}"));
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let values = self.head.iter().filter_map(|line| line.split_once(": "));
        let mut values = values.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }

    /// The message as it is written.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.join("\r\n").into_bytes();
        let length = format!("\r\nContent-Length: {}\r\n\r\n", self.body.len());
        bytes.extend_from_slice(length.as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

async fn read_chunks(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        from.read_line(&mut size).await?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        let begin = body.len();
        body.resize(begin + size + 2, 0);
        from.read_exact(&mut body[begin..]).await?;
        body.truncate(begin + size);
        if size == 0 {
            return Ok(body);
        }
    }
}
