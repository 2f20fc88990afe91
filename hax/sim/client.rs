//! A process on an ha_link, for programs: tests and load generators run many of
//! them in one runtime, `hax sim` runs one.
//!
//! Each [`SimProcess`] is one task that owns the connection. What happens on the
//! link is told twice: as [`Event`]s, in order, for whoever wants each of them, and
//! as [`State`], which can be waited on. The [`Events`] are bounded: while nobody
//! takes them the task stops reading, and the bridge feels it. Drop them if they are
//! of no interest.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use halink::{Fid, HaState, ProcessEvent, ProcessType, ServiceEvent};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::conn;
use super::endpoint::Endpoint;
use super::link::{Identity, LinkError, REQUESTS_MAX, UNACKED_MAX, draft};
use super::wire::{
    Body, ConfEvent, EntrypointRep, Frame, LinkStatus, Msg, NVEC_GET, NVEC_SET, Note, WireError,
};

/// Commands and events that may wait.
const QUEUE: usize = 256;
/// Motr numbers its GETs from here.
const FIRST_GET_ID: u64 = 100;

/// How to run a process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the bridge listens.
    pub ha: Endpoint,
    pub identity: Identity,
    /// How long the first connection may take, with all its attempts. Later ones
    /// are tried until they succeed.
    pub connect_timeout: Duration,
    /// Send no entrypoint request before [`SimProcess::entrypoint`] is called.
    pub hold_entrypoint: bool,
    /// Acknowledge every message as it comes; otherwise it is for
    /// [`SimProcess::delivered`].
    pub auto_deliver: bool,
}

/// Why a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum End {
    #[error("closed")]
    Closed,
    #[error("declared failed by HA")]
    Absent,
    #[error("bad frame from the bridge: {0}")]
    BadFrame(LinkError),
    #[error("no connection to {endpoint} within {seconds} s: {error}")]
    ConnectTimeout {
        endpoint: String,
        seconds: u64,
        error: String,
    },
    #[error("message cannot be sent: {0}")]
    Unsendable(WireError),
}

/// A message from the bridge.
#[derive(Clone, Debug)]
pub struct Received {
    pub(crate) generation: u64,
    pub msg: Msg,
}

/// What happens to a process.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection is there.
    Connected,
    /// It is gone, and why.
    Disconnected(String),
    /// The bridge answered an entrypoint request.
    Entrypoint(EntrypointRep),
    /// A connection carries the link.
    Link {
        status: LinkStatus,
        instance: u64,
        link: u64,
    },
    /// A message was accepted for sending.
    Sent(Msg),
    Received(Received),
    /// A message came that was received before.
    Duplicate {
        tag: u64,
    },
    /// The bridge delivered our message.
    Delivered {
        tag: u64,
        name: &'static str,
    },
    /// The last event.
    Ended(End),
}

/// Events of one process, in order.
pub type Events = mpsc::Receiver<Event>;

/// Where a process stands.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Last state the bridge told of each object.
    pub objects: BTreeMap<Fid, u32>,
    /// How the present connection came to carry the link: status, instance, link.
    pub link: Option<(LinkStatus, u64, u64)>,
    pub connected: bool,
    /// Connections so far.
    pub connects: u64,
    /// Connections the bridge closed, or that broke.
    pub closes: u64,
    /// Messages sent and not yet delivered.
    pub unacked: usize,
    /// Last entrypoint reply, whatever its rc.
    pub entrypoint: Option<EntrypointRep>,
    /// Entrypoint replies with rc ≠ 0.
    pub again: u64,
    /// Messages received, by the name of their kind.
    pub received: BTreeMap<&'static str, u64>,
    pub end: Option<End>,
}

/// The answer a sent message waits for, beside being delivered.
pub(crate) enum Answer {
    Get {
        id: u64,
        to: oneshot::Sender<Vec<Note>>,
    },
    FailureVec {
        cookie: [u64; 2],
        to: oneshot::Sender<Vec<Note>>,
    },
}

pub(crate) enum Command {
    Entrypoint {
        until_ok: bool,
        to: oneshot::Sender<EntrypointRep>,
    },
    Send {
        msg: Box<Msg>,
        accepted: oneshot::Sender<u64>,
        delivered: oneshot::Sender<()>,
        answer: Option<Answer>,
    },
    Delivered {
        generation: u64,
        tag: u64,
    },
    Raw(Vec<u8>),
    Stall(bool),
    Disconnect(Duration),
    Close,
}

/// A message on its way.
#[derive(Debug)]
pub struct Delivery {
    /// Tag of the message.
    pub tag: u64,
    delivered: oneshot::Receiver<()>,
    state: watch::Receiver<State>,
}

impl Delivery {
    /// Waits until the bridge has delivered the message.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn wait(mut self) -> Result<(), End> {
        match self.delivered.await {
            Ok(()) => Ok(()),
            Err(_) => Err(ended(&mut self.state).await),
        }
    }
}

async fn ended(state: &mut watch::Receiver<State>) -> End {
    match state.wait_for(|s| s.end.is_some()).await {
        Ok(state) => state.end.clone().unwrap_or(End::Closed),
        Err(_) => End::Closed,
    }
}

/// A process on an ha_link. When the last clone is dropped, its connection closes.
#[derive(Clone)]
pub struct SimProcess {
    identity: Identity,
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    /// Room for messages that are not delivered.
    room: Arc<Semaphore>,
    /// Turns to ask for the entrypoint, fewer than the link refuses.
    asks: Arc<Semaphore>,
    ids: Arc<AtomicU64>,
}

impl SimProcess {
    /// Starts the task; must be called within a Tokio runtime.
    pub fn spawn(config: Config) -> (SimProcess, Events) {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (events, outbox) = mpsc::channel(QUEUE);
        let (state, watched) = watch::channel(State::default());
        let room = Arc::new(Semaphore::new(UNACKED_MAX));
        let process = SimProcess {
            identity: config.identity.clone(),
            commands,
            state: watched,
            room: room.clone(),
            asks: Arc::new(Semaphore::new(REQUESTS_MAX)),
            ids: Arc::new(FIRST_GET_ID.into()),
        };
        tokio::spawn(conn::run(config, inbox, events, state, room));
        (process, outbox)
    }

    /// A process nobody takes the events of, once the first entrypoint reply with rc 0
    /// has come.
    ///
    /// # Errors
    /// No connection in time, or the bridge ended it.
    pub async fn connect(config: Config) -> Result<SimProcess, End> {
        let (process, _) = SimProcess::spawn(config);
        process.ready().await?;
        Ok(process)
    }

    /// Waits for the first entrypoint reply with rc 0, which a process asks for by
    /// itself unless [`Config::hold_entrypoint`] is set.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn ready(&self) -> Result<(), End> {
        self.wait(|s| s.entrypoint.as_ref().is_some_and(|rep| rep.rc == 0))
            .await
    }

    /// The process's fid.
    pub fn fid(&self) -> Fid {
        self.identity.process
    }

    /// Where the process stands.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits for a condition on the state.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn wait(&self, mut met: impl FnMut(&State) -> bool) -> Result<(), End> {
        let mut state = self.state.clone();
        let mut ok = false;
        let done = state.wait_for(|s| {
            ok = met(s);
            ok || s.end.is_some()
        });
        match done.await {
            Ok(state) if !ok => Err(state.end.clone().unwrap_or(End::Closed)),
            Ok(_) => Ok(()),
            Err(_) => Err(End::Closed),
        }
    }

    /// Waits for the end of the process.
    pub async fn ended(&self) -> End {
        ended(&mut self.state.clone()).await
    }

    /// Waits until the bridge has told this state of the object.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn wait_state(&self, object: Fid, state: HaState) -> Result<(), End> {
        self.wait(|s| s.objects.get(&object) == Some(&state.raw()))
            .await
    }

    /// Waits until every message sent so far is delivered.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn wait_all_delivered(&self) -> Result<(), End> {
        self.wait(|s| s.unacked == 0).await
    }

    /// Asks for the entrypoint, at once again as long as rc ≠ 0, as Motr does.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn entrypoint(&self) -> Result<EntrypointRep, End> {
        self.ask(true).await
    }

    /// Asks for the entrypoint once; rc may be anything.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn entrypoint_once(&self) -> Result<EntrypointRep, End> {
        self.ask(false).await
    }

    async fn ask(&self, until_ok: bool) -> Result<EntrypointRep, End> {
        let Ok(_turn) = self.asks.acquire().await else {
            return Err(self.ended().await);
        };
        let (to, reply) = oneshot::channel();
        self.command(Command::Entrypoint { until_ok, to }).await?;
        self.or_end(reply).await
    }

    /// Sends a message of any kind. Waits while 4,096 messages are not delivered.
    ///
    /// # Errors
    /// The process ended, or the message breaks a limit of 6/WIRE.
    pub async fn send(&self, msg: Msg) -> Result<Delivery, End> {
        self.send_for(msg, None).await
    }

    async fn send_for(&self, msg: Msg, answer: Option<Answer>) -> Result<Delivery, End> {
        let frame = Frame::Msg(msg);
        frame.encode(&mut Vec::new()).map_err(End::Unsendable)?;
        let Frame::Msg(msg) = frame else {
            return Err(End::Closed);
        };
        let Ok(permit) = self.room.acquire().await else {
            return Err(self.ended().await);
        };
        let (accepted, tag) = oneshot::channel();
        let (to, delivered) = oneshot::channel();
        self.command(Command::Send {
            msg: Box::new(msg),
            accepted,
            delivered: to,
            answer,
        })
        .await?;
        // The task gives it back when the message is delivered.
        permit.forget();
        let tag = self.or_end(tag).await?;
        Ok(Delivery {
            tag,
            delivered,
            state: self.state.clone(),
        })
    }

    /// Sends EVENT_PROCESS of the process itself.
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn process_event(
        &self,
        event: ProcessEvent,
        kind: ProcessType,
    ) -> Result<Delivery, End> {
        let body = ConfEvent {
            event: event.raw(),
            kind: kind.raw(),
            pid: self.identity.pid,
        };
        self.send(self.draft(self.fid(), Body::Process(body))).await
    }

    /// Sends EVENT_SERVICE; `kind` is Motr's `m0_conf_service_type`, and the fid of a
    /// built-in service is [`Fid::NIL`].
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn service_event(
        &self,
        service: Fid,
        event: ServiceEvent,
        kind: u64,
    ) -> Result<Delivery, End> {
        let body = ConfEvent {
            event: event.raw(),
            kind,
            pid: self.identity.pid,
        };
        let body = Body::Service(body);
        self.send(draft(service, self.fid(), service, now(), body))
            .await
    }

    /// Asks for the states of objects and waits for the SET that answers.
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn nvec_get(&self, objects: &[Fid]) -> Result<Vec<Note>, End> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let notes = objects
            .iter()
            .map(|&object| Note { object, state: 0 })
            .collect();
        let body = Body::Nvec {
            kind: NVEC_GET,
            id_of_get: id,
            ignore_same_state: 0,
            notes,
        };
        let (to, answer) = oneshot::channel();
        self.send_for(self.draft(Fid::NIL, body), Some(Answer::Get { id, to }))
            .await?;
        self.or_end(answer).await
    }

    /// Tells the bridge states of objects.
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn nvec_set(&self, notes: Vec<Note>) -> Result<Delivery, End> {
        let body = Body::Nvec {
            kind: NVEC_SET,
            id_of_get: 0,
            ignore_same_state: 1,
            notes,
        };
        self.send(self.draft(Fid::NIL, body)).await
    }

    /// Asks for the failure vector of a pool and waits for it.
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn failure_vec(&self, pool: Fid) -> Result<Vec<Note>, End> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let cookie = [id, self.identity.pid];
        let (to, answer) = oneshot::channel();
        let wanted = Answer::FailureVec { cookie, to };
        let body = Body::FailureVecReq { pool, cookie };
        self.send_for(self.draft(Fid::NIL, body), Some(wanted))
            .await?;
        self.or_end(answer).await
    }

    /// A message that names no source, as most of Motr's do.
    pub fn draft(&self, fid: Fid, body: Body) -> Msg {
        draft(fid, Fid::NIL, Fid::NIL, now(), body)
    }

    /// Acknowledges a message, where [`Config::auto_deliver`] is off.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn delivered(&self, received: &Received) -> Result<(), End> {
        let Received { generation, msg } = received;
        self.command(Command::Delivered {
            generation: *generation,
            tag: msg.tag,
        })
        .await
    }

    /// Writes bytes as they are, between two frames.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn raw(&self, bytes: Vec<u8>) -> Result<(), End> {
        self.command(Command::Raw(bytes)).await
    }

    /// Stops or goes on reading from the connection.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn stall(&self, on: bool) -> Result<(), End> {
        self.command(Command::Stall(on)).await
    }

    /// Drops the connection, and connects again after `away`.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn disconnect(&self, away: Duration) -> Result<(), End> {
        self.command(Command::Disconnect(away)).await
    }

    /// Ends the process, once what it has to write is written (for a second at most).
    pub async fn close(&self) -> End {
        // Ended already, if the task takes no command any more.
        let _ = self.command(Command::Close).await;
        self.ended().await
    }

    async fn command(&self, command: Command) -> Result<(), End> {
        match self.commands.send(command).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended().await),
        }
    }

    async fn or_end<T>(
        &self,
        answer: impl Future<Output = Result<T, oneshot::error::RecvError>>,
    ) -> Result<T, End> {
        match answer.await {
            Ok(value) => Ok(value),
            Err(_) => Err(self.ended().await),
        }
    }
}

/// Nanoseconds since 1970, as `m0_time_now()` counts.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
