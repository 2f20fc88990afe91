//! The view of the cluster: what Consul says of it, kept current, and validated for those who must
//! not be told anything old (`rfc/9-view.md`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consul_client::{Client, Error};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::Snapshot;
use super::follow::{DEMANDS_MAX, Demand, Follower};
use super::part::{Detail, Mark, Part, Piece};

/// The view, and whether Consul can be reached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct View {
    shared: Arc<Shared>,
    demands: [mpsc::Sender<Demand>; 3],
    tasks: TaskTracker,
}

/// Where a part of the view stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartStatus {
    /// `m0conf`, `processes` or `checks`.
    pub part: String,
    /// Its Raft index in Consul; zero before it was read.
    pub index: u64,
    /// Seconds since it was last known to be current; nothing before it was read.
    pub age_seconds: Option<u64>,
}

impl View {
    /// Starts the queries, which run until `cancel` is cancelled.
    pub fn spawn(consul: &Client, detail: Detail, cancel: &CancellationToken) -> Self {
        let shared = Arc::new(Shared::default());
        let tasks = TaskTracker::new();
        let demands = Part::ALL.map(|part| {
            let (sender, demands) = mpsc::channel(DEMANDS_MAX);
            let follower =
                Follower::new(part, detail, consul.clone(), Arc::clone(&shared), demands);
            let cancel = cancel.clone();
            tasks.spawn(async move { cancel.run_until_cancelled(follower.run()).await });
            sender
        });
        tasks.close();
        Self {
            shared,
            demands,
            tasks,
        }
    }

    /// A snapshot that is no older than this call: each part holds every change that was committed
    /// before. The parts are of moments of their own, all of them after the call.
    ///
    /// This holds through changes of leader: a leader that has been deposed does not answer, for
    /// every answer is confirmed by a majority (consistency mode `consistent`). Small requests
    /// tell whether the parts are current; what is not is read. Calls at the same time share
    /// them.
    ///
    /// # Errors
    /// Why a part could not be validated. The view is as it was: see [`snapshots`](Self::snapshots)
    /// for the last known.
    pub async fn fresh(&self) -> Result<Snapshot, Error> {
        let doubts = self.shared.doubts();
        loop {
            let before = *doubts.borrow();
            let [conf, processes, failing] = &self.demands;
            tokio::try_join!(validate(conf), validate(processes), validate(failing))?;
            // The others may have been validated against a history that has ended.
            if *doubts.borrow() == before {
                return Ok(self.last());
            }
        }
    }

    /// The last known snapshot. It asks Consul nothing.
    pub fn last(&self) -> Snapshot {
        self.shared.snapshots.borrow().clone()
    }

    /// Snapshots as they change.
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.shared.snapshots.subscribe()
    }

    /// Why the view is not current, if it is not.
    pub fn last_error(&self) -> Option<String> {
        let places = self.shared.places();
        places.iter().find_map(|place| place.error.clone())
    }

    /// Where the parts stand.
    pub fn parts(&self) -> Vec<PartStatus> {
        let places = self.shared.places();
        let row = |(part, place): (Part, &Place)| PartStatus {
            part: part.to_string(),
            index: place.mark.map_or(0, |mark| mark.index.0),
            age_seconds: place.mark.map(|mark| mark.current_at.elapsed().as_secs()),
        };
        Part::ALL.into_iter().zip(&*places).map(row).collect()
    }

    /// Waits until the queries have ended.
    pub async fn join(&self) {
        self.tasks.wait().await;
    }
}

/// Waits until a part is no older than this call.
async fn validate(part: &mpsc::Sender<Demand>) -> Result<(), Error> {
    let stopped = || Error::InvalidArgument {
        what: "view",
        reason: "has been stopped".to_owned(),
    };
    let (demand, answer) = oneshot::channel();
    part.send(demand).await.map_err(|_| stopped())?;
    answer.await.map_err(|_| stopped())?
}

/// What the parts' tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    snapshots: watch::Sender<Snapshot>,
    /// How often it was no longer sure that this is the Consul that the parts were read from.
    doubts: watch::Sender<u64>,
    places: Mutex<[Place; 3]>,
}

/// Where a part stands.
#[derive(Debug, Default)]
struct Place {
    mark: Option<Mark>,
    error: Option<String>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            snapshots: watch::Sender::new(Snapshot::default()),
            doubts: watch::Sender::new(0),
            places: Mutex::default(),
        }
    }
}

impl Shared {
    pub(super) fn doubts(&self) -> watch::Receiver<u64> {
        self.doubts.subscribe()
    }

    /// From now on no index of any part is trusted, until the part has been read anew.
    pub(super) fn doubt(&self) {
        self.doubts.send_modify(|doubts| *doubts += 1);
    }

    /// The part is as it was.
    pub(super) fn confirmed(&self, part: Part, mark: Mark) {
        let place = &mut self.places()[part as usize];
        place.mark = Some(mark);
        if place.error.take().is_some() {
            info!(%part, "the view of the cluster is current again");
        }
    }

    /// The part has been read.
    pub(super) fn publish(&self, part: Part, mark: Mark, piece: Piece, reset: bool) {
        self.snapshots.send_modify(|snapshot| piece.put(snapshot));
        if reset {
            warn!(%part, index = %mark.index,
                "an index of Consul went backwards: its data was lost or restored, or it has \
                 forgotten deletions; everything is read anew");
            self.doubt();
        }
        self.confirmed(part, mark);
    }

    /// The part cannot be read, or not be followed.
    pub(super) fn failed(&self, part: Part, error: &Error) {
        let text = error.to_string();
        let slot = &mut self.places()[part as usize].error;
        if slot.as_ref() != Some(&text) {
            warn!(%part, error = text, "the view of the cluster is not current");
        }
        *slot = Some(text);
    }

    fn places(&self) -> MutexGuard<'_, [Place; 3]> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
