//! The last known view of the cluster, kept current by blocking queries. It serves what must not
//! wait for Consul: broadcasts and `/v1/status`.

use std::sync::{Arc, Mutex, PoisonError};

use consul_client::{Client, Error, Response, StateFilter, Watch, WatchOptions};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::{Snapshot, process, read};

/// The view, and whether Consul can be reached.
#[derive(Debug, Clone)]
pub struct View {
    snapshots: watch::Receiver<Snapshot>,
    last_error: Arc<Mutex<[Option<String>; 3]>>,
    tasks: TaskTracker,
}

/// What a task keeps current.
#[derive(Debug, Clone, Copy)]
enum Part {
    Conf,
    Processes,
    Failing,
}

impl View {
    /// Starts the queries, which run until `cancel` is cancelled.
    pub fn spawn(consul: &Client, cancel: &CancellationToken) -> Self {
        let (publish, snapshots) = watch::channel(Snapshot::default());
        let publish = Arc::new(publish);
        let watcher = consul.watch(WatchOptions::default());
        let view = Self {
            snapshots,
            last_error: Arc::default(),
            tasks: TaskTracker::new(),
        };
        let conf = watcher.kv_prefix(read::CONF_PREFIX);
        view.follow(Part::Conf, conf, &publish, cancel, |snapshot, pairs| {
            snapshot.tree = Arc::new(read::tree(&pairs));
        });
        let processes = watcher.kv_prefix(process::PREFIX);
        view.follow(
            Part::Processes,
            processes,
            &publish,
            cancel,
            |snapshot, pairs| {
                snapshot.processes = Arc::new(read::table(&pairs));
            },
        );
        let critical = watcher.checks(StateFilter::Critical);
        view.follow(
            Part::Failing,
            critical,
            &publish,
            cancel,
            |snapshot, checks| {
                snapshot.failing = Arc::new(read::failing(&checks));
            },
        );
        view.tasks.close();
        view
    }

    fn follow<T: Send + 'static>(
        &self,
        part: Part,
        mut states: Watch<T>,
        publish: &Arc<watch::Sender<Snapshot>>,
        cancel: &CancellationToken,
        apply: impl Fn(&mut Snapshot, T) + Send + 'static,
    ) {
        let publish = Arc::clone(publish);
        let errors = Arc::clone(&self.last_error);
        let follow = async move {
            while let Some(state) = states.next().await {
                let error = match state {
                    Ok(Response { value, .. }) => {
                        publish.send_modify(|snapshot| apply(snapshot, value));
                        None
                    }
                    Err(error) => Some(error),
                };
                report(part, &errors, error);
            }
        };
        let cancel = cancel.clone();
        self.tasks.spawn(async move {
            cancel.run_until_cancelled(follow).await;
        });
    }

    /// Snapshots as they change.
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// Why the view is not current, if it is not.
    pub fn last_error(&self) -> Option<String> {
        let errors = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        errors.iter().flatten().next().cloned()
    }

    /// Waits until the queries have ended.
    pub async fn join(&self) {
        self.tasks.wait().await;
    }
}

fn report(part: Part, errors: &Mutex<[Option<String>; 3]>, error: Option<Error>) {
    let text = error.map(|error| error.to_string());
    let slot = &mut errors.lock().unwrap_or_else(PoisonError::into_inner)[part as usize];
    match (&slot, &text) {
        (_, Some(error)) => warn!(?part, error, "the view of the cluster is not current"),
        (Some(_), None) => info!(?part, "the view of the cluster is current again"),
        (None, None) => {}
    }
    *slot = text;
}
