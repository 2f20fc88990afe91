//! The responder: takes requests of `fence_recorder`, has the coordinator fence, and answers with what came
//! of it.

mod serve;
pub mod store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::dir::DirError;
use super::name::FileName;
use super::watch::{Watch, drain};
use crate::config::fence::FilesConfig;
use crate::fence::FenceHandle;
use store::{Store, Waiting};

/// Requests served at one time; more wait in their directory, and may expire there.
pub const TAKEN_MAX: usize = 64;

/// How often the directory is looked at, even if nothing is told of it.
const POLL: Duration = Duration::from_millis(500);

/// How often old files are removed, and the state of the nodes is written at least.
const HOUSEKEEPING: Duration = Duration::from_secs(15);

/// How long is waited before a directory that cannot be used is tried again.
const REOPEN: Duration = Duration::from_secs(5);

/// Names of files that are no requests, so that each is told once.
const TOLD_MAX: usize = 256;

/// Threads that may be busy with files.
static DISK: Semaphore = Semaphore::const_new(4);

/// Runs what waits for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let _permit = DISK.acquire().await.ok()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "renames and syncs have no asynchronous form; at most four threads are used"
    )]
    let task = tokio::task::spawn_blocking(work);
    task.await.ok()
}

/// The responder.
#[derive(Debug)]
pub struct Responder {
    config: FilesConfig,
    handle: FenceHandle,
    cancel: CancellationToken,
    serving: BTreeSet<FileName>,
    told: BTreeSet<String>,
}

impl Responder {
    /// Whether the directories can be used, for the start and for the status of the daemon.
    ///
    /// # Errors
    /// Why not.
    pub fn check(config: &FilesConfig) -> Result<(), DirError> {
        Store::open(config).map(|_| ())
    }

    /// Serves requests until it is cancelled. Requests that are taken then stay on disk, and are gone on with
    /// at the next start.
    pub fn spawn(
        config: FilesConfig,
        handle: FenceHandle,
        cancel: CancellationToken,
    ) -> JoinHandle<()> {
        let responder = Self {
            config,
            handle,
            cancel,
            serving: BTreeSet::new(),
            told: BTreeSet::new(),
        };
        tokio::spawn(responder.run())
    }

    async fn run(mut self) {
        while !self.cancel.is_cancelled() {
            let config = self.config.clone();
            match blocking(move || Store::open(&config)).await {
                Some(Ok(store)) => self.serve(Arc::new(store)).await,
                Some(Err(why)) => error!(%why, "no request files are served"),
                None => return,
            }
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = sleep(REOPEN) => {}
            }
        }
    }

    /// Until it is cancelled, or a directory has been replaced.
    async fn serve(&mut self, store: Arc<Store>) {
        let watch = Watch::new(&self.config.request_dir);
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; a descriptor of its own is all that it asks for, and an \
                      `OwnedFd` has one, open until the `AsyncFd` has let go of it"
        )]
        let watch = watch
            .into_fd()
            .and_then(|fd| AsyncFd::with_interest(fd, Interest::READABLE).ok());
        let stop = self.cancel.child_token();
        let mut tasks = JoinSet::new();
        let mut clean = Instant::now();
        info!(directory = %self.config.request_dir.display(), "request files are served");
        loop {
            if Instant::now() >= clean {
                clean = Instant::now() + HOUSEKEEPING;
                self.keep_house(&store).await;
            }
            self.scan(&store, &mut tasks, &stop).await;
            tokio::select! {
                () = self.cancel.cancelled() => break,
                Some(served) = tasks.join_next() => {
                    match served {
                        Ok(name) => {
                            self.serving.remove(&name);
                        }
                        Err(error) => error!(%error, "a request file is not served further"),
                    }
                }
                () = changed(watch.as_ref()) => {
                    let store = Arc::clone(&store);
                    if blocking(move || store.has_moved()).await != Some(false) {
                        warn!("a directory of request files was replaced");
                        break;
                    }
                }
            }
        }
        // What a task has not come to is on disk.
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        self.serving.clear();
    }

    async fn scan(
        &mut self,
        store: &Arc<Store>,
        tasks: &mut JoinSet<FileName>,
        stop: &CancellationToken,
    ) {
        let room = TAKEN_MAX.saturating_sub(self.serving.len());
        if room == 0 {
            return;
        }
        let ours = Arc::clone(store);
        let Some(Ok((taken, others))) = blocking(move || take(&ours, room)).await else {
            warn!("the directory of request files cannot be read");
            return;
        };
        for (name, why) in others {
            if self.told.len() < TOLD_MAX && self.told.insert(name.clone()) {
                warn!(file = ?name, %why, "this is no request, and is left alone");
            }
        }
        for name in taken {
            if self.serving.len() < TAKEN_MAX && self.serving.insert(name.clone()) {
                let (store, handle) = (Arc::clone(store), self.handle.clone());
                tasks.spawn(serve::serve(store, handle, name, stop.clone()));
            }
        }
    }

    async fn keep_house(&self, store: &Arc<Store>) {
        let nodes = serve::nodes(&self.handle.view());
        let store = Arc::clone(store);
        let done =
            blocking(move || serve::publish_nodes(&store, nodes).and_then(|()| store.clean()));
        if let Some(Err(error)) = done.await {
            warn!(%error, "old files of requests and responses cannot be removed");
        }
    }
}

/// Takes what waits. All that is taken is returned, that of before a restart, too.
fn take(store: &Store, room: usize) -> std::io::Result<Waiting> {
    let (waiting, others) = store.waiting(room)?;
    for name in &waiting {
        store.take(name)?;
    }
    Ok((store.taken()?, others))
}

/// Until something has happened in the directory, or [`POLL`] is over.
async fn changed(watch: Option<&AsyncFd<std::os::fd::OwnedFd>>) {
    let Some(watch) = watch else {
        return sleep(POLL).await;
    };
    if let Ok(Ok(mut ready)) = timeout(POLL, watch.readable()).await {
        drain(watch.get_ref());
        ready.clear_ready();
    }
}
