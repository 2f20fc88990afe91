//! The task of one process: its connection, and what waits for frames.

mod wait;

use std::collections::VecDeque;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Command, Config, End, Event, Received, State, now};
use super::endpoint::{Endpoint, Stream};
use super::link::{Incoming, Link, LinkError, draft};
use super::wire::{Body, Frame, LinkStatus, Msg, NVEC_SET, WireError};
use wait::Waiters;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Bytes that wait to be written, before more frames are encoded.
const OUT_TARGET: usize = 64 * 1024;
/// Events nobody has taken and frames not yet written, before reading stops.
const PENDING_MAX: usize = 1_024;
/// Bytes that wait to be written at most: raw ones beyond it are dropped.
const OUT_MAX: usize = 1024 * 1024;
/// Objects whose state is remembered.
const OBJECTS_MAX: usize = 65_536;
/// One attempt to connect.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Pause after the first failed attempt; it doubles.
const DELAY_MIN: Duration = Duration::from_millis(20);
/// Pause at most, before jitter.
const DELAY_MAX: Duration = Duration::from_secs(1);
/// Writing what is left when the process is closed.
const FLUSH: Duration = Duration::from_secs(1);

/// How a connection came to its end.
enum Over {
    /// Connect again after this time.
    Again(Duration, String),
    End(End),
}

struct Task {
    config: Config,
    link: Link,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    pending: VecDeque<Event>,
    state: watch::Sender<State>,
    room: Arc<Semaphore>,
    waiters: Waiters,
    /// Bytes to write; raw ones wait here for the next connection, too.
    output: Vec<u8>,
    stalled: bool,
    keepalives: u64,
    /// Pauses between attempts to connect, since a connection last carried the link.
    delays: ExponentialBackoff,
}

pub(super) async fn run(
    config: Config,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    state: watch::Sender<State>,
    room: Arc<Semaphore>,
) {
    let link = Link::new(config.identity.clone(), config.hold_entrypoint);
    let mut task = Task {
        config,
        link,
        commands,
        events,
        pending: VecDeque::new(),
        state,
        room,
        waiters: Waiters::default(),
        output: Vec::new(),
        stalled: false,
        keepalives: 0,
        delays: delays(),
    };
    let end = task.live().await;
    task.commands.close();
    task.room.close();
    task.state.send_modify(|s| {
        s.connected = false;
        s.end = Some(end.clone());
    });
    task.pending.push_back(Event::Ended(end));
    let Task {
        pending, events, ..
    } = task;
    for event in pending {
        if events.send(event).await.is_err() {
            break;
        }
    }
}

impl Task {
    async fn live(&mut self) -> End {
        loop {
            let stream = match self.establish().await {
                Ok(stream) => stream,
                Err(end) => return end,
            };
            self.state.send_modify(|s| {
                s.connected = true;
                s.connects += 1;
            });
            self.tell(Event::Connected);
            self.link.connected();
            let over = self.serve(stream).await;
            self.link.disconnected();
            self.output.clear();
            let (away, reason) = match over {
                Over::Again(away, reason) => (away, reason),
                Over::End(end) => return end,
            };
            self.state.send_modify(|s| {
                s.connected = false;
                s.link = None;
            });
            self.tell(Event::Disconnected(reason));
            if let Err(end) = self.meanwhile(sleep(away)).await {
                return end;
            }
        }
    }

    async fn establish(&mut self) -> Result<Box<dyn Stream>, End> {
        let limit = self.config.connect_timeout;
        let deadline = (self.state.borrow().connects == 0).then(|| Instant::now() + limit);
        loop {
            let ha = self.config.ha.clone();
            let error = match self.meanwhile(attempt(&ha)).await? {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            let delay = self.pause();
            if deadline.is_some_and(|deadline| Instant::now() + delay > deadline) {
                return Err(End::ConnectTimeout {
                    endpoint: ha.to_string(),
                    seconds: limit.as_secs(),
                    error,
                });
            }
            self.meanwhile(sleep(delay)).await?;
        }
    }

    fn pause(&mut self) -> Duration {
        self.delays.next().unwrap_or(DELAY_MAX)
    }

    /// Takes commands until the future is ready.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Result<F::Output, End> {
        let events = self.events.clone();
        let mut future = pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                command = self.commands.recv() => match self.command(command) {
                    ControlFlow::Break(Over::End(end)) => return Err(end),
                    // There is no connection to drop.
                    ControlFlow::Break(Over::Again(..)) | ControlFlow::Continue(()) => {}
                },
                slot = events.reserve(), if !self.pending.is_empty() => self.hand_out(slot.ok()),
            }
        }
    }

    /// Carries the link on one connection.
    async fn serve(&mut self, stream: Box<dyn Stream>) -> Over {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let events = self.events.clone();
        let mut chunk = vec![0; CHUNK];
        let mut input = Vec::new();
        let mut written = 0;
        loop {
            if written == self.output.len() {
                self.output.clear();
                written = 0;
                if let Err(error) = self.fill() {
                    return Over::End(End::Unsendable(error));
                }
            }
            let room = self.pending.len() < PENDING_MAX && self.link.outbox() < PENDING_MAX;
            tokio::select! {
                command = self.commands.recv() => {
                    if let ControlFlow::Break(over) = self.command(command) {
                        if matches!(over, Over::End(End::Closed)) {
                            let _ = self.fill();
                            let rest = &self.output[written..];
                            // What cannot be written now is lost with the process.
                            let _ = timeout(FLUSH, writer.write_all(rest)).await;
                            let _ = timeout(FLUSH, writer.shutdown()).await;
                        }
                        return over;
                    }
                }
                result = reader.read(&mut chunk), if room && !self.stalled => {
                    let reason = match result {
                        Ok(0) => "closed by the bridge".to_owned(),
                        Ok(n) => {
                            input.extend_from_slice(&chunk[..n]);
                            match self.take_frames(&mut input) {
                                Ok(ControlFlow::Continue(())) => continue,
                                Ok(ControlFlow::Break(end)) => return Over::End(end),
                                Err(error) => return Over::End(End::BadFrame(error)),
                            }
                        }
                        Err(error) => error.to_string(),
                    };
                    self.state.send_modify(|s| s.closes += 1);
                    return Over::Again(self.pause(), reason);
                }
                result = writer.write(&self.output[written..]), if written < self.output.len() => {
                    match result {
                        Ok(n) => written += n,
                        // The reader may still find what the bridge said before it closed.
                        Err(error) if self.stalled => {
                            self.state.send_modify(|s| s.closes += 1);
                            return Over::Again(self.pause(), error.to_string());
                        }
                        Err(_) => written = self.output.len(),
                    }
                }
                slot = events.reserve(), if !self.pending.is_empty() => self.hand_out(slot.ok()),
            }
        }
    }

    fn hand_out(&mut self, slot: Option<mpsc::Permit<'_, Event>>) {
        match slot {
            Some(slot) => {
                if let Some(event) = self.pending.pop_front() {
                    slot.send(event);
                }
            }
            // Nobody takes events any more.
            None => self.pending.clear(),
        }
    }

    fn fill(&mut self) -> Result<(), WireError> {
        while self.output.len() < OUT_TARGET {
            match self.link.poll_transmit() {
                Some(frame) => frame.encode(&mut self.output)?,
                None => break,
            }
        }
        Ok(())
    }

    fn take_frames(&mut self, input: &mut Vec<u8>) -> Result<ControlFlow<End>, LinkError> {
        let mut used = 0;
        while let Some((frame, len)) = Frame::decode(&input[used..])? {
            used += len;
            if let ControlFlow::Break(end) = self.take(frame)? {
                return Ok(ControlFlow::Break(end));
            }
        }
        input.drain(..used);
        Ok(ControlFlow::Continue(()))
    }

    fn take(&mut self, frame: Frame) -> Result<ControlFlow<End>, LinkError> {
        match self.link.on_frame(frame)? {
            Incoming::Reply { rep, bound } => {
                let (status, instance, link) = (rep.status, rep.instance, rep.link);
                if bound {
                    self.delays = delays();
                }
                let again = self.waiters.reply(&rep);
                self.state.send_modify(|s| {
                    s.again += u64::from(rep.rc != 0);
                    s.entrypoint = Some(rep.clone());
                    if bound {
                        s.link = Some((status, instance, link));
                    }
                });
                self.tell(Event::Entrypoint(rep));
                if bound || status == LinkStatus::Absent {
                    self.tell(Event::Link {
                        status,
                        instance,
                        link,
                    });
                }
                if status == LinkStatus::Absent {
                    return Ok(ControlFlow::Break(End::Absent));
                }
                if let Some(asker) = again {
                    self.ask(asker);
                }
            }
            Incoming::Message { generation, msg } => self.message(generation, msg),
            Incoming::Duplicate(tag) => self.tell(Event::Duplicate { tag }),
            Incoming::Delivered(msg) => {
                self.room.add_permits(1);
                self.waiters.delivered(msg.tag);
                let unacked = self.link.unacked();
                self.state.send_modify(|s| s.unacked = unacked);
                self.tell(Event::Delivered {
                    tag: msg.tag,
                    name: msg.body.name(),
                });
            }
            Incoming::DeliveredBefore(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn message(&mut self, generation: u64, msg: Msg) {
        self.state.send_modify(|s| {
            *s.received.entry(msg.body.name()).or_default() += 1;
            if let Body::Nvec {
                kind: NVEC_SET,
                notes,
                ..
            } = &msg.body
            {
                for note in notes {
                    if s.objects.len() < OBJECTS_MAX || s.objects.contains_key(&note.object) {
                        s.objects.insert(note.object, note.state);
                    }
                }
            }
        });
        self.waiters.message(&msg.body);
        if let Body::KeepaliveReq { id } = msg.body {
            self.keepalive(id);
        }
        let tag = msg.tag;
        self.tell(Event::Received(Received { generation, msg }));
        if self.config.auto_deliver {
            self.link.delivered(generation, tag);
        }
    }

    fn keepalive(&mut self, id: [u64; 2]) {
        // A full link answers no keepalive: that is what keepalives are to find out.
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            return;
        };
        permit.forget();
        self.keepalives += 1;
        let body = Body::KeepaliveRep {
            id,
            counter: self.keepalives,
        };
        let nil = halink::Fid::NIL;
        self.send(draft(nil, nil, nil, now(), body));
    }

    fn send(&mut self, msg: Msg) -> Option<u64> {
        let mut sent = msg.clone();
        let tag = self.link.send(msg).ok()?;
        sent.tag = tag;
        let unacked = self.link.unacked();
        self.state.send_modify(|s| s.unacked = unacked);
        self.tell(Event::Sent(sent));
        Some(tag)
    }

    fn ask(&mut self, asker: wait::Asker) {
        // Full: the asker is dropped, and learns it.
        if let Ok(seq) = self.link.request() {
            self.waiters.asked(seq, asker);
        }
    }

    fn command(&mut self, command: Option<Command>) -> ControlFlow<Over> {
        match command {
            None | Some(Command::Close) => return ControlFlow::Break(Over::End(End::Closed)),
            Some(Command::Disconnect(away)) => {
                return ControlFlow::Break(Over::Again(away, "dropped by ourselves".into()));
            }
            Some(Command::Entrypoint { until_ok, to }) => {
                self.ask(wait::Asker {
                    until_ok,
                    to: Some(to),
                });
            }
            Some(Command::Send {
                msg,
                accepted,
                delivered,
                answer,
            }) => {
                if let Some(tag) = self.send(*msg) {
                    self.waiters.sent(tag, delivered, answer);
                    // The sender may be gone.
                    let _ = accepted.send(tag);
                }
            }
            Some(Command::Delivered { generation, tag }) => self.link.delivered(generation, tag),
            Some(Command::Raw(bytes)) => {
                // Frames sent before go before; an error comes back on the next fill.
                let _ = self.fill();
                if self.output.len() + bytes.len() <= OUT_MAX {
                    self.output.extend(bytes);
                }
            }
            Some(Command::Stall(on)) => self.stalled = on,
        }
        ControlFlow::Continue(())
    }

    fn tell(&mut self, event: Event) {
        if !self.events.is_closed() {
            self.pending.push_back(event);
        }
    }
}

fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .without_max_times()
        .with_jitter()
        .build()
}

async fn attempt(endpoint: &Endpoint) -> Result<Box<dyn Stream>, String> {
    match timeout(ATTEMPT, endpoint.connect()).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ATTEMPT.as_secs())),
    }
}
