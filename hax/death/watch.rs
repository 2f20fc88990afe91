//! The tasks that wait for deaths: one for each process, which identifies it and then sleeps.

use std::sync::Arc;
use std::time::Instant;

use halink::{Fid, LinkId, ProcessEvent, ProcessStatus, ProcessType};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use super::held::Proven;
use super::pidfd::{PidFd, Watched};
use super::procfs::Proc;
use super::proof::{self, Claim, Evidence, Unproven};
use super::table::{Deaths, Fall, Heard};

/// Identifications at a time: they read `/proc`, and a cluster starts all at once.
const PROOFS_MAX: usize = 2;

/// What is done when something comes of a watch.
pub trait Handler: Send + Sync + 'static {
    /// What KV says a process is, and whether it says that it has stopped.
    fn last_word(&self, process: Fid) -> Option<(ProcessType, bool)>;

    /// A process is not watched: it was not identified.
    fn unproven(&self);

    /// A process is not watched: too many are.
    fn refused(&self);

    /// A process has failed.
    fn failed(&self, dead: Dead) -> impl Future<Output = ()> + Send;

    /// An m0mkfs has died.
    fn mkfs_died(&self, dead: Dead) -> impl Future<Output = ()> + Send;
}

/// A process that has died without STOPPED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    /// The link over which it spoke.
    pub link: LinkId,
    /// Its fid.
    pub process: Fid,
    /// The pid it had.
    pub pid: u64,
    /// When its death was noticed.
    pub noticed: Instant,
}

/// The watch itself: it is told who speaks, and tells its handler who has died.
#[derive(Debug)]
pub struct DeathWatch<H> {
    /// Nothing if it is turned off.
    handler: Option<Arc<H>>,
    deaths: Arc<Deaths>,
    proofs: Arc<Semaphore>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// Not derived: handlers need not be cloned for it.
impl<H> Clone for DeathWatch<H> {
    fn clone(&self) -> Self {
        Self {
            handler: self.handler.clone(),
            deaths: Arc::clone(&self.deaths),
            proofs: Arc::clone(&self.proofs),
            tasks: self.tasks.clone(),
            cancel: self.cancel.clone(),
        }
    }
}

impl<H: Handler> DeathWatch<H> {
    /// A watch that lasts until `cancel` is cancelled; without a handler, one that is turned off.
    pub fn new(deaths: Arc<Deaths>, handler: Option<H>, cancel: CancellationToken) -> Self {
        Self {
            handler: handler.map(Arc::new),
            deaths,
            proofs: Arc::new(Semaphore::new(PROOFS_MAX)),
            tasks: TaskTracker::new(),
            cancel,
        }
    }

    /// The process at the end of a link has told an event of its own. To be called in the order of
    /// arrival; `endpoint` is asked for once for each incarnation.
    pub fn event(
        &self,
        link: LinkId,
        process: Fid,
        status: &ProcessStatus,
        endpoint: impl FnOnce() -> String,
    ) {
        let stopped = status.event == ProcessEvent::Stopped;
        let said = Some((status.kind, stopped));
        self.heard(link, process, status.pid, said, endpoint);
    }

    /// A process whose link was to an earlier run of the bridge has a link again, and names its
    /// pid.
    pub fn resumed(&self, link: LinkId, process: Fid, pid: u64, endpoint: &str) {
        self.heard(link, process, pid, None, || endpoint.to_owned());
    }

    /// A new incarnation asks for its first entrypoint.
    pub fn reborn(&self, process: Fid) {
        self.deaths.reborn(process);
    }

    /// A link has gone.
    pub fn gone(&self, link: LinkId) {
        self.deaths.forget(link);
    }

    /// Waits until every task has ended, once `cancel` is cancelled.
    pub async fn join(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn heard(
        &self,
        link: LinkId,
        process: Fid,
        pid: u64,
        said: Option<(ProcessType, bool)>,
        endpoint: impl FnOnce() -> String,
    ) {
        let Some(handler) = &self.handler else {
            return;
        };
        let wake = match self.deaths.heard(link, process, pid, said) {
            Heard::New(wake) => wake,
            Heard::Known => return,
            Heard::Refused => {
                debug!(%process, pid, "too many processes are watched for their death");
                return handler.refused();
            }
        };
        let claim = Claim {
            process,
            pid,
            endpoint: endpoint(),
            heard: proof::since_boot(),
        };
        self.deaths.claimed(&claim);
        let task = Task {
            handler: Arc::clone(handler),
            deaths: Arc::clone(&self.deaths),
            link,
            wake,
        };
        let (proofs, cancel) = (Arc::clone(&self.proofs), self.cancel.clone());
        self.tasks.spawn(async move {
            let follow = task.follow(&proofs, claim);
            cancel.run_until_cancelled(follow).await;
        });
    }
}

/// The watch of one process.
struct Task<H> {
    handler: Arc<H>,
    deaths: Arc<Deaths>,
    link: LinkId,
    wake: CancellationToken,
}

impl<H: Handler> Task<H> {
    async fn follow(self, proofs: &Semaphore, claim: Claim) {
        let (process, pid) = (claim.process, claim.pid);
        let identified = identify(proofs, claim).await;
        let outcome = match &identified {
            Ok((_, _, evidence)) => Ok(*evidence),
            Err(reason) => Err(*reason),
        };
        let watched = match identified {
            Ok((watched, started, evidence)) => {
                let watched = Arc::new(watched);
                let fd = Arc::clone(&watched);
                let proven = Proven { pid, started, fd };
                self.deaths.holds(self.link, process, proven);
                self.deaths.proven(self.link, pid, outcome);
                debug!(%process, pid, ?evidence, "the process is watched for its death");
                watched
            }
            Err(reason) => {
                self.deaths.proven(self.link, pid, outcome);
                info!(%process, pid, %reason,
                    "the process is not watched for its death; Consul's check does the work");
                return self.handler.unproven();
            }
        };
        let died = tokio::select! {
            died = watched.died() => died.map(|()| true),
            () = self.wake.cancelled() => watched.has_died(),
        };
        match died {
            Ok(died) => self.ended(process, pid, died).await,
            Err(error) => {
                warn!(%process, pid, %error, "the death of the process cannot be waited for");
            }
        }
    }

    async fn ended(&self, process: Fid, pid: u64, died: bool) {
        let dead = Dead {
            link: self.link,
            process,
            pid,
            noticed: Instant::now(),
        };
        let last_word = self.handler.last_word(process);
        match self.deaths.fallen(&dead, died, last_word) {
            Fall::Nothing => debug!(%process, pid, died, "the watch for its death has ended"),
            Fall::Orderly => info!(%process, pid, "the process has stopped and ended"),
            Fall::Mkfs => {
                warn!(%process, pid, "m0mkfs has died without STOPPED");
                self.handler.mkfs_died(dead).await;
            }
            Fall::Failed { confirmed } => {
                error!(%process, pid, confirmed, "the process has died without STOPPED");
                self.handler.failed(dead).await;
            }
        }
    }
}

/// The process of a claim, and when it was started.
async fn identify(proofs: &Semaphore, claim: Claim) -> Result<(Watched, u64, Evidence), Unproven> {
    let Ok(_permit) = proofs.acquire().await else {
        return Err(Unproven::Died);
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "reading /proc has no asynchronous form, and its answers may have to wait for a \
                  lock of the process; at most two threads are used, and each reads a bounded part"
    )]
    let opened = tokio::task::spawn_blocking(move || open(&claim)).await;
    let (fd, started, evidence) = opened.unwrap_or(Err(Unproven::Died))?;
    Ok((fd.watch().map_err(no_watch)?, started, evidence))
}

fn open(claim: &Claim) -> Result<(PidFd, u64, Evidence), Unproven> {
    let proc = Proc::default();
    let (fd, evidence) = proof::open(&proc, claim)?;
    let pid = u32::try_from(claim.pid).map_err(|_| Unproven::NoPid)?;
    let started = proc.started(pid);
    // It was its own start only if it still lives.
    match fd.has_died().map_err(no_watch)? {
        true => Err(Unproven::Died),
        false => Ok((
            fd,
            started.map_err(|error| Unproven::NoProc(error.kind()))?,
            evidence,
        )),
    }
}

fn no_watch(error: std::io::Error) -> Unproven {
    Unproven::NoWatch(error.kind())
}
