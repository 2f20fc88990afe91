//! The plugin host: one thread for sources, hub and supervisor.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::hub::Hub;
use super::prepare::{Kinds, Preparer};
use super::supervisor::{Board, COMMANDS_MAX, Command, Handle, Parts, Supervisor, Timing};
use super::thread::{Environment, panicked};
use crate::tasks::Tasks;

/// How long sources may take to stop.
const SOURCES_STOP: Duration = Duration::from_secs(5);

/// How much longer than everything in it the host may take to stop.
const MARGIN: Duration = Duration::from_secs(2);

/// Threads of the host's runtime for calls that block.
const BLOCKING_MAX: usize = 16;

/// A source: tells the hub of objects until the token is cancelled.
pub struct Source {
    /// Its name, for the log.
    pub name: &'static str,
    /// Makes what runs, in the host's runtime.
    pub start: Box<dyn FnOnce(Hub, CancellationToken) -> SourceTask + Send>,
}

/// What a source does. It must not block: all sources share a thread.
type SourceTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a host needs.
pub struct Setup {
    /// For instances; the hub in it is the one that sources feed.
    pub environment: Environment,
    /// Makes instances.
    pub kinds: Arc<dyn Kinds>,
    /// How long things may take.
    pub timing: Timing,
    /// Where objects come from.
    pub sources: Vec<Source>,
}

/// Why a host was not started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The system gives none.
    #[error("no thread for plugins: {0}")]
    Thread(#[source] io::Error),
    /// The system gives none.
    #[error("no runtime for plugins: {0}")]
    Runtime(#[source] io::Error),
    /// Its thread does not end.
    #[error("the thread of the plugin host has not ended after {0:?}")]
    Stuck(Duration),
}

/// A running host. When it is dropped, everything in it is told to stop, and not waited for.
#[derive(Debug)]
pub struct Host {
    handle: Handle,
    board: Board,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Host {
    /// Starts a host without instances; the first reload makes them.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn spawn(setup: Setup) -> Result<Self, HostError> {
        let (commands, commands_in) = mpsc::channel(COMMANDS_MAX);
        let (tell, ended) = oneshot::channel();
        let (board, stop) = (Board::default(), CancellationToken::new());
        let handle = Handle::new(commands, board.clone(), setup.timing.hanging);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_MAX)
            .thread_name("plugins")
            .build()
            .map_err(HostError::Runtime)?;
        let work = work(setup, board.clone(), commands_in, stop.clone());
        let body = move || {
            let run = AssertUnwindSafe(|| runtime.block_on(work));
            if let Err(payload) = catch_unwind(run) {
                let failure = panicked(payload.as_ref());
                error!(error = %failure, "the plugin host has ended early; the bridge goes on");
            }
            // Who waits for it may have gone.
            let _ = tell.send(());
        };
        let thread = std::thread::Builder::new()
            .name("plugins".to_owned())
            .spawn(body)
            .map_err(HostError::Thread)?;
        Ok(Self {
            handle,
            board,
            stop,
            ended,
            thread,
        })
    }

    /// The way to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops all instances and sources, and waits for them as long as they may take.
    ///
    /// # Errors
    /// [`HostError::Stuck`]. An instance that does not stop is no error: its thread is abandoned.
    pub async fn stop(mut self) -> Result<(), HostError> {
        self.stop.cancel();
        let bound = self.board.stop_bound() + SOURCES_STOP + MARGIN;
        let ended = async {
            // An error is also an end: the thread has dropped its word.
            let _ = (&mut self.ended).await;
            while !self.thread.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let ended = timeout(bound, ended).await;
        ended.map_err(|_| HostError::Stuck(bound))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Everything the host's thread does.
async fn work(
    setup: Setup,
    board: Board,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
) {
    let mut sources = Tasks::default();
    let mut names = Vec::new();
    // Sources go on while instances stop, which may want to see what becomes of what they do.
    let stop_sources = CancellationToken::new();
    for Source { name, start } in setup.sources {
        let source = start(setup.environment.hub.clone(), stop_sources.clone());
        sources.add(name, tokio::spawn(source));
        names.push(name);
    }
    let preparer = Preparer::new(setup.kinds, setup.timing.start_timeout);
    let parts = Parts {
        environment: setup.environment,
        preparer,
        timing: setup.timing,
    };
    let supervisor = Supervisor::new(parts, board).run(commands, stop);
    tokio::pin!(supervisor);
    loop {
        tokio::select! {
            () = &mut supervisor => break,
            (source, result) = sources.ended(), if !names.is_empty() => {
                names.retain(|name| *name != source);
                error!(source, error = result.err().map(|error| error.to_string()),
                    "a source of plugins has ended; its objects stay as they are");
            }
        }
    }
    stop_sources.cancel();
    let join = async {
        for name in names {
            sources.join(name).await;
        }
    };
    if timeout(SOURCES_STOP, join).await.is_err() {
        warn!("a source of plugins does not stop; it ends with the daemon");
    }
}
