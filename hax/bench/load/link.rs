//! One link: the least a process has to do to be one.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halink::{Fid, FidType, ProcessEvent, ProcessType, ServiceEvent};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::command::Expected;
use crate::bench::clock;
use crate::sim::wire::{
    Body, ConfEvent, EntrypointReq, Frame, LinkStatus, Msg, NVEC_GET, NVEC_SET, Note,
};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// How soon a connection is tried again that finds others waiting.
const BACKLOG_WAIT: Duration = Duration::from_millis(1);

pub(super) struct Link {
    stream: UnixStream,
    heard: Arc<AtomicU64>,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    process: Fid,
    instance: u64,
    link: u64,
    seq: u64,
    /// Requests for the entrypoint that are not answered.
    asked: usize,
    tag: u64,
    /// Messages sent and not delivered.
    waiting: usize,
    /// When each NVEC GET was sent, and what became of it.
    sent: Vec<u64>,
    answered: usize,
    expected: Option<Expected>,
    arrived: Option<u64>,
}

impl Link {
    /// Each frame that it hears is counted in `heard`.
    pub(super) async fn open(path: &Path, key: u64, heard: &Arc<AtomicU64>) -> Result<Self> {
        let stream = loop {
            match UnixStream::connect(path).await {
                Ok(stream) => break stream,
                // The backlog of the socket is full.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    tokio::time::sleep(BACKLOG_WAIT).await;
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("connecting to {}", path.display()));
                }
            }
        };
        Ok(Self {
            stream,
            heard: Arc::clone(heard),
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            process: Fid::typed(FidType::Process, 1, key),
            instance: 0,
            link: 0,
            seq: 0,
            asked: 0,
            tag: 0,
            waiting: 0,
            sent: Vec::new(),
            answered: 0,
            expected: None,
            arrived: None,
        })
    }

    /// Asks for the entrypoint; what is asked is sent by the next wait.
    pub(super) fn ask(&mut self) -> Result<()> {
        self.seq += 1;
        self.asked += 1;
        let first = self.link == 0;
        let request = EntrypointReq {
            seq: self.seq,
            first,
            instance: if first { 0 } else { self.instance },
            link: self.link,
            process: self.process,
            pid: std::process::id().into(),
            endpoint: format!("inet:tcp:127.0.0.1@{}", self.process.key()),
            git_rev: String::new(),
        };
        Ok(Frame::EntrypointReq(request).encode(&mut self.output)?)
    }

    pub(super) async fn answered(&mut self) -> Result<()> {
        self.until(|link| Ok(link.asked == 0)).await
    }

    /// Sends STARTED and STARTING in turns; they are sent by the next wait.
    pub(super) fn event(&mut self) -> Result<()> {
        let event = if self.tag.is_multiple_of(4) {
            ProcessEvent::Starting
        } else {
            ProcessEvent::Started
        };
        self.waiting += 1;
        self.message(Body::Process(ConfEvent {
            event: event.raw(),
            kind: ProcessType::M0d.raw(),
            pid: std::process::id().into(),
        }))
    }

    /// Sends a service event, of which the bridge only takes note; it is sent by the next wait.
    pub(super) fn service_event(&mut self) -> Result<()> {
        self.waiting += 1;
        self.message(Body::Service(ConfEvent {
            event: ServiceEvent::Started.raw(),
            kind: 0,
            pid: std::process::id().into(),
        }))
    }

    pub(super) async fn all_delivered(&mut self) -> Result<()> {
        self.until(|link| Ok(link.waiting == 0)).await
    }

    /// Sends NVEC GETs until each is answered; returns how long each took.
    pub(super) async fn nvec(
        &mut self,
        objects: &[Fid],
        window: usize,
        count: usize,
    ) -> Result<Vec<u64>> {
        let notes: Vec<Note> = objects
            .iter()
            .map(|object| Note {
                object: *object,
                state: 0,
            })
            .collect();
        self.sent.clear();
        self.answered = 0;
        self.until(|link| {
            while link.sent.len() < count && link.sent.len() - link.answered < window {
                link.sent.push(clock::now());
                link.waiting += 1;
                link.message(Body::Nvec {
                    kind: NVEC_GET,
                    id_of_get: link.sent.len() as u64,
                    ignore_same_state: 0,
                    notes: notes.clone(),
                })?;
            }
            Ok(link.answered == count)
        })
        .await?;
        Ok(std::mem::take(&mut self.sent))
    }

    /// From now on looks out for an NVEC SET.
    pub(super) fn expect(&mut self, expected: Expected) {
        self.expected = Some(expected);
        self.arrived = None;
    }

    /// When the expected NVEC SET came.
    pub(super) async fn arrived(&mut self) -> Result<u64> {
        self.until(|link| Ok(link.arrived.is_some())).await?;
        self.arrived.context("arrived")
    }

    fn message(&mut self, body: Body) -> Result<()> {
        self.tag += 2;
        let message = Msg {
            tag: self.tag,
            fid: self.process,
            source_process: self.process,
            source_service: Fid::NIL,
            time: clock::now(),
            epoch: 0,
            body,
        };
        Ok(Frame::Msg(message).encode(&mut self.output)?)
    }

    /// Reads and writes until `done`, which may add to what is to be written.
    async fn until(&mut self, mut done: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        loop {
            let done = done(self)?;
            self.write()?;
            let written = self.output.is_empty();
            if done && written {
                return Ok(());
            }
            let interest = if written {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            if self.stream.ready(interest).await?.is_readable() {
                self.read()?;
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        while self.written < self.output.len() {
            match self.stream.try_write(&self.output[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("writing to the bridge"),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        self.input.reserve(CHUNK);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => bail!("the bridge has closed the connection of {}", self.process),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("reading from the bridge"),
        }
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        while let Some((frame, length)) = Frame::decode(&input[at..])? {
            at += length;
            self.take(frame)?;
        }
        self.input = input;
        self.input.drain(..at);
        Ok(())
    }

    fn take(&mut self, frame: Frame) -> Result<()> {
        self.heard.fetch_add(1, Ordering::Relaxed);
        match frame {
            Frame::Delivered(_) => self.waiting = self.waiting.saturating_sub(1),
            Frame::EntrypointRep(reply) => {
                if reply.status == LinkStatus::Absent {
                    bail!("the bridge has dropped the link of {}", self.process);
                }
                (self.instance, self.link) = (reply.instance, reply.link);
                self.asked -= 1;
                if reply.rc != 0 {
                    self.ask()?;
                }
            }
            Frame::Msg(message) => {
                if let Body::Nvec {
                    kind: NVEC_SET,
                    id_of_get,
                    notes,
                    ..
                } = message.body
                {
                    self.vector(id_of_get, &notes);
                }
                Frame::Delivered(message.tag).encode(&mut self.output)?;
            }
            Frame::EntrypointReq(_) => bail!("the bridge asks for an entrypoint"),
        }
        Ok(())
    }

    fn vector(&mut self, id_of_get: u64, notes: &[Note]) {
        let now = clock::now();
        if id_of_get != 0 {
            let get = usize::try_from(id_of_get - 1).ok();
            if let Some(sent) = get.and_then(|get| self.sent.get_mut(get)) {
                *sent = now - *sent;
                self.answered += 1;
            }
        } else if let Some(expected) = self.expected {
            let named =
                |note: &Note| note.object == expected.object && note.state == expected.state;
            if notes.len() >= expected.notes && notes.iter().any(named) {
                self.arrived = Some(now);
                self.expected = None;
            }
        }
    }
}
