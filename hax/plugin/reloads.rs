//! Reloads: reads the snippets and has the supervisor make them run, one reload after another.

use std::path::PathBuf;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::hub::{Hub, SourceId, SourceStatus, World};
use super::instance::InstanceName;
use super::reload::Outcome;
use super::supervisor::{Handle, InstanceStatus, SupervisorError};
use crate::config::ConfigErrors;
use crate::config::plugin::load_snippets;

/// Reloads that may wait; one more is refused.
const WAITING_MAX: usize = 16;

/// Why a reload was not begun.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Snippets are wrong; nothing is changed.
    #[error("{0}")]
    Snippets(#[source] ConfigErrors),
    /// Too many wait.
    #[error("too many reloads wait already")]
    Busy,
    /// The daemon is about to end.
    #[error("plugins are being stopped")]
    Ended,
}

type Reply = oneshot::Sender<Result<Outcome, ReloadError>>;

/// Does the reloads.
#[derive(Debug)]
pub struct Reloads {
    directory: PathBuf,
    supervisor: Handle,
    requests: mpsc::Receiver<Reply>,
}

/// Plugins as the rest of the daemon sees them. Cheap to clone; nothing here blocks a thread.
#[derive(Debug, Clone)]
pub struct PluginsHandle {
    supervisor: Handle,
    hub: Hub,
    requests: mpsc::Sender<Reply>,
}

/// Everything about plugins, for people.
#[derive(Debug, Serialize)]
pub struct PluginsStatus {
    /// The instances, by name.
    pub instances: Vec<InstanceStatus>,
    /// The sources that have said something.
    pub sources: Vec<SourceRow>,
    /// Objects that the hub knows.
    pub objects: usize,
    /// Events that it has made.
    pub events: u64,
}

/// A source, for people.
#[derive(Debug, Serialize)]
pub struct SourceRow {
    /// Which.
    pub source: SourceId,
    /// How it is.
    #[serde(flatten)]
    pub status: SourceStatus,
}

impl Reloads {
    /// Reloads of the snippets in `directory`, and the way to them.
    pub fn new(directory: PathBuf, supervisor: Handle, hub: Hub) -> (Self, PluginsHandle) {
        let (sender, requests) = mpsc::channel(WAITING_MAX);
        let handle = PluginsHandle {
            supervisor: supervisor.clone(),
            hub,
            requests: sender,
        };
        let reloads = Self {
            directory,
            supervisor,
            requests,
        };
        (reloads, handle)
    }

    /// Does what is asked for until it is cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        while let Some(Some(reply)) = cancel.run_until_cancelled(self.requests.recv()).await {
            let Some(done) = cancel.run_until_cancelled(self.reload()).await else {
                return;
            };
            // Who has asked may have gone.
            let _ = reply.send(done);
        }
    }

    async fn reload(&self) -> Result<Outcome, ReloadError> {
        let directory = self.directory.clone();
        #[allow(
            clippy::disallowed_methods,
            reason = "files have no asynchronous form; reloads are one after another, and so is this thread"
        )]
        let read = tokio::task::spawn_blocking(move || load_snippets(&directory)).await;
        let read = read.map_err(|_| ReloadError::Ended)?;
        let set = read.map_err(|errors| {
            error!(%errors, "the snippets of plugins are wrong; nothing is changed");
            ReloadError::Snippets(errors)
        })?;
        let outcome = self.supervisor.reload(set).await;
        let outcome = outcome.map_err(|_| ReloadError::Ended)?;
        match &outcome {
            Outcome::Done { .. } => info!(%outcome, "plugins are reloaded"),
            _ => warn!(%outcome, "plugins are not reloaded"),
        }
        Ok(outcome)
    }
}

impl PluginsHandle {
    /// Reads the snippets and makes them run. It goes on when the future is dropped.
    ///
    /// # Errors
    /// It was not begun; what else can go wrong is in the outcome.
    pub async fn reload(&self) -> Result<Outcome, ReloadError> {
        self.ask()?.await.map_err(|_| ReloadError::Ended)?
    }

    /// The same, without waiting for it; what comes of it is logged.
    ///
    /// # Errors
    /// Too many wait, or the daemon is about to end.
    pub fn ask(&self) -> Result<oneshot::Receiver<Result<Outcome, ReloadError>>, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(reply).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReloadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReloadError::Ended,
        })?;
        Ok(answer)
    }

    /// Stops an instance and starts it with the same configuration.
    ///
    /// # Errors
    /// As those of the supervisor.
    pub async fn restart(&self, name: &InstanceName) -> Result<(), SupervisorError> {
        self.supervisor.restart(name).await
    }

    /// Everything about plugins.
    pub fn status(&self) -> PluginsStatus {
        let sources = self.hub.sources().into_iter();
        PluginsStatus {
            instances: self.supervisor.status(),
            sources: sources
                .map(|(source, status)| SourceRow { source, status })
                .collect(),
            objects: self.hub.world().size(),
            events: self.hub.number(),
        }
    }

    /// Every object as it is now.
    pub fn world(&self) -> World {
        self.hub.world()
    }
}
