//! Keeps one instance running: starts it, sees it end, and starts it again after a pause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Parts;
use super::status::{Slot, State};
use super::timing::Backoff;
use crate::config::plugin::PluginConfig;
use crate::plugin::instance::{Failure, InstanceName};
use crate::plugin::prepare::Prepared;
use crate::plugin::thread::Run;

/// The supervisor's end of the task that keeps an instance.
#[derive(Debug)]
pub(super) struct Keeper {
    /// What it keeps running; none: it only waits for a stuck thread to end.
    pub(super) config: Option<Arc<PluginConfig>>,
    pub(super) slot: Arc<Slot>,
    stop: CancellationToken,
    task: JoinHandle<Option<Run>>,
}

/// What a keeper begins with.
pub(super) struct Begin {
    pub(super) name: InstanceName,
    pub(super) config: Option<Arc<PluginConfig>>,
    pub(super) slot: Arc<Slot>,
    /// The instance, if it has been prepared.
    pub(super) prepared: Option<Prepared>,
    /// A stuck thread of that name: nothing is started before it ends.
    pub(super) after: Option<Run>,
}

impl Keeper {
    pub(super) fn spawn(parts: &Arc<Parts>, begin: Begin) -> Self {
        let stop = CancellationToken::new();
        let (config, slot) = (begin.config.clone(), Arc::clone(&begin.slot));
        let keeping = Keeping {
            parts: Arc::clone(parts),
            name: begin.name,
            slot: begin.slot,
            stop: stop.clone(),
        };
        let task = keeping.keep(begin.config, begin.prepared, begin.after);
        Self {
            config,
            slot,
            stop,
            task: tokio::spawn(task),
        }
    }

    /// Tells it to stop its instance for good.
    pub(super) fn cancel(&self) {
        self.stop.cancel();
    }

    /// Waits until it has; what comes back is a thread that is stuck. Called once, after [`Self::cancel`].
    pub(super) async fn join(&mut self) -> Option<Run> {
        match (&mut self.task).await {
            Ok(stuck) => stuck,
            Err(error) => {
                error!(%error, "the keeper of an instance has ended early");
                None
            }
        }
    }
}

/// How a try has ended.
enum End {
    /// It was told to stop, and has.
    Stopped,
    /// It was told to stop, and has not.
    Stuck(Run),
    /// By itself; it was ready for so long.
    Failed(Failure, Duration),
}

struct Keeping {
    parts: Arc<Parts>,
    name: InstanceName,
    slot: Arc<Slot>,
    stop: CancellationToken,
}

impl Keeping {
    async fn keep(
        self,
        config: Option<Arc<PluginConfig>>,
        mut prepared: Option<Prepared>,
        after: Option<Run>,
    ) -> Option<Run> {
        if let Some(run) = after {
            self.slot
                .note(&Failure("an earlier thread of it is stuck".to_owned()));
            if let Some(run) = self.outlast(run).await {
                return Some(run);
            }
        }
        let Some(config) = config else {
            self.slot.enter(State::Stopped);
            return None;
        };
        let mut backoff = Backoff::default();
        loop {
            let (failure, ran) = match self.once(&config, prepared.take()).await {
                End::Stopped => break,
                End::Stuck(run) => return Some(run),
                End::Failed(failure, ran) => (failure, ran),
            };
            let pause = backoff.next(&self.parts.timing, ran);
            warn!(instance = %self.name, error = %failure, ?pause, "a plugin has failed and is started again");
            self.slot.pause(pause);
            let stopped = self.stop.cancelled();
            if timeout(pause, stopped).await.is_ok() {
                break;
            }
            self.slot.restarted();
        }
        self.slot.enter(State::Stopped);
        None
    }

    async fn once(&self, config: &Arc<PluginConfig>, prepared: Option<Prepared>) -> End {
        let Parts {
            environment,
            preparer,
            timing,
        } = &*self.parts;
        self.slot.enter(State::Starting);
        let prepared = match prepared {
            Some(prepared) => Ok(prepared),
            None => tokio::select! {
                biased;
                () = self.stop.cancelled() => return End::Stopped,
                prepared = preparer.prepare(&self.name, config, None) => prepared,
            },
        };
        let run = prepared
            .and_then(|prepared| Run::spawn(&self.name, prepared, environment, timing.beat));
        let mut run = match run {
            Ok(run) => run,
            Err(failure) => return self.failed(failure, Duration::ZERO),
        };
        self.slot
            .started(&run, timing.stop_timeout + run.stop_extra);
        let mut ready = run.starting.watch();
        // `run` has the sender: this does not end for another reason.
        let ready = async move { drop(ready.wait_for(|ready| *ready).await) };
        let in_time = tokio::select! {
            biased;
            () = self.stop.cancelled() => return self.halt(run).await,
            end = run.finished() => return self.failed(cause(end), Duration::ZERO),
            () = ready => true,
            () = sleep(timing.start_timeout) => false,
        };
        if !in_time {
            return self.give_up(run).await;
        }
        self.slot.enter(State::Running);
        info!(instance = %self.name, kind = config.kind(), "a plugin runs");
        let begin = Instant::now();
        let end = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            end = run.finished() => Some(end),
        };
        match end {
            Some(end) => self.failed(cause(end), begin.elapsed()),
            None => self.halt(run).await,
        }
    }

    /// Ends a try that has not got ready.
    async fn give_up(&self, run: Run) -> End {
        let failure = Failure(format!(
            "is not ready after {:?}",
            self.parts.timing.start_timeout
        ));
        self.slot.note(&failure);
        match self.halt(run).await {
            End::Stuck(run) => match self.outlast(run).await {
                Some(run) => End::Stuck(run),
                None => End::Failed(failure, Duration::ZERO),
            },
            _ => End::Failed(failure, Duration::ZERO),
        }
    }

    fn failed(&self, failure: Failure, ran: Duration) -> End {
        self.slot.note(&failure);
        End::Failed(failure, ran)
    }

    /// Tells the instance to stop, and waits for it as long as it may take.
    async fn halt(&self, mut run: Run) -> End {
        self.slot.enter(State::Stopping);
        run.cancel();
        let bound = self.parts.timing.stop_timeout + run.stop_extra;
        match timeout(bound, run.finished()).await {
            Ok(Ok(())) => End::Stopped,
            Ok(Err(failure)) => {
                warn!(instance = %self.name, error = %failure, "a plugin has failed while it stopped");
                End::Stopped
            }
            Err(_) => {
                error!(instance = %self.name, ?bound, "a plugin does not stop; its thread is abandoned");
                self.slot.enter(State::Stuck);
                End::Stuck(run)
            }
        }
    }

    /// Waits for a stuck thread to end; gives it back if the keeper is told to stop first.
    async fn outlast(&self, mut run: Run) -> Option<Run> {
        self.slot.enter(State::Stuck);
        let ended = tokio::select! {
            biased;
            _ = run.finished() => true,
            () = self.stop.cancelled() => false,
        };
        if ended {
            info!(instance = %self.name, "the abandoned thread of a plugin has ended");
            return None;
        }
        Some(run)
    }
}

/// An instance that has not been told to stop has no good reason to end.
fn cause(end: Result<(), Failure>) -> Failure {
    match end {
        Ok(()) => Failure("has ended, and was not told to stop".to_owned()),
        Err(failure) => failure,
    }
}
