//! The responder: takes requests of `fence_recorder`, has the coordinator fence, and answers with what came
//! of it.

mod places;
mod serve;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::name::FileName;
use super::nodes::NodePower;
use super::watch::{Watch, drain};
use crate::config::fence::FilesConfig;
use crate::fence::FenceHandle;
use crate::fence::model::NodeName;
use places::Places;
use store::{Store, Unusable, Waiting};

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
    housekeeping: Duration,
    told: BTreeSet<String>,
}

impl Responder {
    /// Makes the directories where they are missing, and looks whether they can be used, for the start of
    /// the daemon. It waits for the disk.
    ///
    /// # Errors
    /// Which key names one that cannot be, and why.
    pub fn check(config: &FilesConfig) -> Result<(), Unusable> {
        Store::open(config).map(|_| ())
    }

    /// Serves requests until it is cancelled. Requests that are taken then stay on disk, and are gone on with
    /// at the next start.
    pub fn spawn(
        config: FilesConfig,
        handle: FenceHandle,
        cancel: CancellationToken,
    ) -> JoinHandle<()> {
        Self::spawn_every(HOUSEKEEPING, config, handle, cancel)
    }

    fn spawn_every(
        housekeeping: Duration,
        config: FilesConfig,
        handle: FenceHandle,
        cancel: CancellationToken,
    ) -> JoinHandle<()> {
        let responder = Self {
            config,
            handle,
            cancel,
            housekeeping,
            told: BTreeSet::new(),
        };
        tokio::spawn(responder.run())
    }

    async fn run(mut self) {
        while !self.cancel.is_cancelled() {
            let config = self.config.clone();
            let pause = match blocking(move || Store::open(&config)).await {
                Some(Ok(store)) => {
                    self.serve(Arc::new(store)).await;
                    POLL
                }
                Some(Err(why)) => {
                    error!(%why, "no request files are served");
                    REOPEN
                }
                None => return,
            };
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = sleep(pause) => {}
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
        let mut places = Places::new(TAKEN_MAX);
        let mut views = self.handle.views();
        let (mut clean, mut published) = (Instant::now(), None);
        info!(directory = %self.config.request_dir.display(), "request files are served");
        loop {
            let nodes = serve::nodes(&views.borrow_and_update());
            let is_due = Instant::now() >= clean;
            if is_due || published.as_ref() != Some(&nodes) {
                publish(&store, nodes.clone()).await;
                published = Some(nodes);
            }
            if is_due {
                clean = Instant::now() + self.housekeeping;
                places.forgive();
                keep_house(&store).await;
            }
            self.scan(&store, &mut places, &stop).await;
            tokio::select! {
                () = self.cancel.cancelled() => break,
                () = places.next_over() => {}
                Ok(()) = views.changed() => {}
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
        places.all_over().await;
    }

    async fn scan(&mut self, store: &Arc<Store>, places: &mut Places, stop: &CancellationToken) {
        let room = places.room();
        if room == 0 {
            return;
        }
        let (ours, known) = (Arc::clone(store), places.known());
        let Some(Ok((taken, others))) = blocking(move || take(&ours, room, &known)).await else {
            warn!("the directory of request files cannot be read");
            return;
        };
        for (name, why) in others {
            if self.told.len() < TOLD_MAX && self.told.insert(name.clone()) {
                warn!(file = ?name, %why, "this is no request, and is left alone");
            }
        }
        for name in taken {
            let (store, handle) = (Arc::clone(store), self.handle.clone());
            places.serve(&name, || {
                serve::serve(store, handle, name.clone(), stop.clone())
            });
        }
    }
}

async fn publish(store: &Arc<Store>, nodes: BTreeMap<NodeName, NodePower>) {
    let store = Arc::clone(store);
    let done = blocking(move || serve::publish_nodes(&store, nodes));
    if let Some(Err(error)) = done.await {
        warn!(%error, "the state of the nodes cannot be published");
    }
}

async fn keep_house(store: &Arc<Store>) {
    let store = Arc::clone(store);
    if let Some(Err(error)) = blocking(move || store.clean()).await {
        warn!(%error, "old files of requests and responses cannot be removed");
    }
}

/// Takes what waits, as far as there is room beside what is taken and not `known` yet. All that is taken is
/// returned, that of before a restart, too.
fn take(store: &Store, room: usize, known: &BTreeSet<FileName>) -> std::io::Result<Waiting> {
    let mut taken = store.taken()?;
    taken.retain(|name| !known.contains(name));
    let Some(room) = room.checked_sub(taken.len()).filter(|room| *room > 0) else {
        return Ok((taken, Vec::new()));
    };
    let (waiting, others) = store.waiting(room)?;
    for name in waiting {
        if store.take(&name)? {
            taken.push(name);
        }
    }
    Ok((taken, others))
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
