//! What others want of the supervisor. No call blocks a thread.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::status::{Board, InstanceStatus};
use crate::config::plugin::PluginConfig;
use crate::plugin::instance::{Failure, InstanceName, Order};
use crate::plugin::reload::Outcome;

/// Commands that wait for the supervisor.
pub(crate) const COMMANDS_MAX: usize = 16;

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupervisorError {
    /// The name is no instance's.
    #[error("there is no plugin instance {0}")]
    NoSuchInstance(InstanceName),
    /// It is starting, failed, stopping or stuck.
    #[error("plugin instance {0} does not run")]
    NotRunning(InstanceName),
    /// It does not read its orders.
    #[error("plugin instance {0} has too many orders to do")]
    Busy(InstanceName),
    /// It does not stop, or does not get ready.
    #[error("plugin instance {0}: {1}")]
    Failed(InstanceName, #[source] Failure),
    /// The daemon is about to end.
    #[error("plugins are being stopped")]
    Ended,
}

/// What the supervisor is to do; one after another.
#[derive(Debug)]
pub(crate) enum Command {
    Reload(
        BTreeMap<InstanceName, PluginConfig>,
        oneshot::Sender<Outcome>,
    ),
    Restart(InstanceName, oneshot::Sender<Result<(), SupervisorError>>),
}

/// The way to the supervisor, for every thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    board: Board,
    hanging: Duration,
}

impl Handle {
    pub(crate) fn new(commands: mpsc::Sender<Command>, board: Board, hanging: Duration) -> Self {
        Self {
            commands,
            board,
            hanging,
        }
    }

    /// How all instances are, by name. Waits for nothing, also while a reload is under way.
    pub fn status(&self) -> Vec<InstanceStatus> {
        self.board.status(self.hanging)
    }

    /// Makes the instances those of `set`. It goes on when the future is dropped.
    ///
    /// # Errors
    /// [`SupervisorError::Ended`]; all else is in the outcome.
    pub async fn reload(
        &self,
        set: BTreeMap<InstanceName, PluginConfig>,
    ) -> Result<Outcome, SupervisorError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Reload(set, reply)).await?;
        answer.await.map_err(|_| SupervisorError::Ended)
    }

    /// Stops an instance and starts it with the same configuration. It goes on when the future is dropped.
    ///
    /// # Errors
    /// There is none of that name, it does not stop, or it does not get ready; then it is tried again as one
    /// that fails.
    pub async fn restart(&self, name: &InstanceName) -> Result<(), SupervisorError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Restart(name.clone(), reply)).await?;
        answer.await.map_err(|_| SupervisorError::Ended)?
    }

    /// Gives an instance an order; the reply in it is the answer. Does not wait for the supervisor.
    ///
    /// # Errors
    /// There is none of that name, it does not run, or too many orders wait.
    pub fn order(&self, name: &InstanceName, order: Order) -> Result<(), SupervisorError> {
        let Some(orders) = self.board.orders(name) else {
            return Err(SupervisorError::NoSuchInstance(name.clone()));
        };
        let Some(orders) = orders else {
            return Err(SupervisorError::NotRunning(name.clone()));
        };
        orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SupervisorError::Busy(name.clone()),
            mpsc::error::TrySendError::Closed(_) => SupervisorError::NotRunning(name.clone()),
        })
    }

    async fn send(&self, command: Command) -> Result<(), SupervisorError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| SupervisorError::Ended)
    }
}
