//! The set of instances: who runs, and what is done with them (`rfc/14-plugins.md`, "Instances").

mod handle;
mod keeper;
mod status;
mod timing;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) use handle::{COMMANDS_MAX, Command};
pub use handle::{Handle, SupervisorError};
use keeper::{Begin, Keeper};
pub(crate) use status::Board;
pub use status::{Cause, InstanceStatus, State};
pub use timing::Timing;

use super::instance::{Failure, InstanceName};
use super::prepare::{Prepared, Preparer};
use super::thread::{Environment, Run};
use crate::config::plugin::PluginConfig;

/// What keepers need.
pub(crate) struct Parts {
    pub(crate) environment: Environment,
    pub(crate) preparer: Preparer,
    pub(crate) timing: Timing,
}

/// Owns the instances. Lives on the plugin host's runtime, which has one thread.
pub(crate) struct Supervisor {
    pub(crate) parts: Arc<Parts>,
    board: Board,
    set: BTreeMap<InstanceName, Keeper>,
}

impl Supervisor {
    pub(crate) fn new(parts: Parts, board: Board) -> Self {
        Self {
            parts: Arc::new(parts),
            board,
            set: BTreeMap::new(),
        }
    }

    /// Does commands until it is told to stop, and then stops all instances. That also ends a command under way: all
    /// instances that there are at any time are in `set`.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) {
        loop {
            let command = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                command = commands.recv() => command,
            };
            let Some(command) = command else { break };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.obey(command) => {}
            }
            self.tidy();
        }
        drop(commands);
        let all = Vec::from_iter(self.set.keys().cloned());
        let stuck = self.stop(&all).await;
        for name in stuck.keys() {
            warn!(instance = %name, "a plugin has not stopped; it ends with the daemon");
        }
    }

    async fn obey(&mut self, command: Command) {
        self.tidy();
        // Who asked may have gone.
        match command {
            Command::Reload(set, reply) => {
                let set = set
                    .into_iter()
                    .map(|(name, config)| (name, Arc::new(config)));
                let outcome = self.reload(set.collect()).await;
                // First, so that who has the answer does not see what is gone.
                self.tidy();
                let _ = reply.send(outcome);
            }
            Command::Restart(name, reply) => {
                let _ = reply.send(self.restart(&name).await);
            }
        }
    }

    async fn restart(&mut self, name: &InstanceName) -> Result<(), SupervisorError> {
        let keeper = self.set.get(name);
        let Some(config) = keeper.and_then(|keeper| keeper.config.clone()) else {
            return Err(SupervisorError::NoSuchInstance(name.clone()));
        };
        let mut stuck = self.stop(std::slice::from_ref(name)).await;
        self.start(name, Some(config), None, stuck.remove(name));
        let first = self.first(name).await;
        first.map_err(|failure| SupervisorError::Failed(name.clone(), failure))
    }

    /// The configurations of all instances that are to run.
    pub(crate) fn configs(&self) -> BTreeMap<InstanceName, Arc<PluginConfig>> {
        let configs = self.set.iter().filter_map(|(name, keeper)| {
            let config = keeper.config.as_ref()?;
            Some((name.clone(), Arc::clone(config)))
        });
        configs.collect()
    }

    /// Whether a thread of that name is stuck.
    pub(crate) fn is_stuck(&self, name: &InstanceName) -> bool {
        let keeper = self.set.get(name);
        keeper.is_some_and(|keeper| keeper.slot.state() == State::Stuck)
    }

    /// Keeps an instance running from now on; nothing of that name may be in the set. Without a
    /// configuration the thread `after` is only waited for.
    pub(crate) fn start(
        &mut self,
        name: &InstanceName,
        config: Option<Arc<PluginConfig>>,
        prepared: Option<Prepared>,
        after: Option<Run>,
    ) {
        let kind = config.as_ref().map(|config| config.kind());
        let begin = Begin {
            name: name.clone(),
            slot: self.board.place(name, kind),
            config,
            prepared,
            after,
        };
        let keeper = Keeper::spawn(&self.parts, begin);
        self.set.insert(name.clone(), keeper);
    }

    /// What the first try of an instance came to.
    pub(crate) async fn first(&self, name: &InstanceName) -> Result<(), Failure> {
        match self.set.get(name) {
            Some(keeper) => keeper.slot.first().await,
            None => Err(Failure("was removed".to_owned())),
        }
    }

    /// Stops instances, all at once, and takes them out of the set. Those that come back are stuck.
    pub(crate) async fn stop(&mut self, names: &[InstanceName]) -> BTreeMap<InstanceName, Run> {
        for name in names {
            if let Some(keeper) = self.set.get(name) {
                keeper.cancel();
            }
        }
        let mut stuck = BTreeMap::new();
        for name in names {
            let Some(keeper) = self.set.get_mut(name) else {
                continue;
            };
            // It stays in the set until this is over, for when the future is dropped.
            let run = keeper.join().await;
            self.set.remove(name);
            if let Some(run) = run {
                stuck.insert(name.clone(), run);
            }
        }
        stuck
    }

    /// Forgets instances that are gone.
    fn tidy(&mut self) {
        self.set
            .retain(|_, keeper| keeper.config.is_some() || keeper.slot.state() != State::Stopped);
        self.board.retain(|name| self.set.contains_key(name));
    }
}
