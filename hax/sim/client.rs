//! A process on an ha_link, for programs: tests and load generators run many of
//! them in one runtime, `hax sim` runs one.
//!
//! Each [`SimProcess`] is one task that owns the connection. What happens on the
//! link is told twice: as [`Event`]s, in order, for whoever wants each of them, and
//! as [`State`], which can be waited on. The [`Events`] are bounded: while nobody
//! takes them the task stops reading, and the bridge feels it. Drop them if they are
//! of no interest.

mod command;
mod event;
mod send;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use halink::{Fid, HaState};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub(super) use self::command::{Answer, Command};
pub use self::event::{Event, Events, Received, State};
pub use self::send::Delivery;
use super::conn;
use super::endpoint::Endpoint;
use super::link::{Identity, LinkError, REQUESTS_MAX, UNACKED_MAX};
use super::wire::{EntrypointRep, WireError};

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
