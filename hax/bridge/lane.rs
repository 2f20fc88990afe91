//! The lane: one task that turns updates into notes and broadcasts them, one at a time
//! (`rfc/7-ordering.md`, O7). It asks Consul nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use halink::{Ack, Fid, HaState, LinkId, Note};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, error, info};

use super::links::Links;
use super::notes::Notes;
use super::outbox::Outbox;
use super::state_tree::Written;
use super::update::WatchUpdate;
use super::verdicts::SharedVerdicts;
use crate::cluster::Snapshot;
use crate::death::{Dead, Deaths};
use crate::profile::Audience;

/// Broadcasts that may wait; one more is refused.
const WAITING_MAX: usize = 64;

/// How long the first view of the cluster is waited for, on behalf of a process that has come back.
const CATCH_UP_WAIT: Duration = Duration::from_secs(60);

/// What came of a watch update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WatchOutcome {
    /// Notes broadcast.
    pub notes: usize,
    /// Links they were sent to.
    pub links: usize,
    /// Entries of the payload that say nothing to Motr.
    pub ignored: usize,
}

/// Why a broadcast was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Too many wait already.
    #[error("{WAITING_MAX} broadcasts wait already; post the payload again")]
    Busy,
    /// Consul could not be asked.
    #[error("Consul could not be asked; post the payload again")]
    Consul,
    /// The bridge is stopping.
    #[error("the bridge is stopping")]
    Stopping,
}

enum Broadcast {
    Watch(WatchUpdate, oneshot::Sender<WatchOutcome>),
    Motr(Vec<Note>, Ack),
    Isolate(LinkId, Fid),
    Died(Dead),
    Written(Fid, Written, oneshot::Sender<usize>),
    Ruled(Vec<Fid>),
    Resumed(LinkId),
}

/// What broadcasts are made of and where they go.
#[derive(Debug, Clone)]
pub struct LaneParts {
    /// Where notes are sent.
    pub outbox: Outbox,
    /// Live links.
    pub links: Arc<Links>,
    /// Who is dead, whatever Consul says.
    pub deaths: Arc<Deaths>,
    /// What fences say.
    pub verdicts: SharedVerdicts,
    /// What Consul says.
    pub view: watch::Receiver<Snapshot>,
}

impl LaneParts {
    /// Makes notes say what is known of the dead and of fences.
    fn rule(&self, notes: &mut Notes, view: &Snapshot) {
        let (dead, verdicts) = (self.deaths.objects(&view.tree), self.verdicts.now());
        notes.rule(&dead, &verdicts, view, self.links.own_process());
    }
}

/// A broadcast, and when it was asked for.
struct Asked {
    broadcast: Broadcast,
    at: Instant,
}

impl Asked {
    fn now(broadcast: Broadcast) -> Self {
        let at = Instant::now();
        Self { broadcast, at }
    }
}

/// A place in the lane.
#[derive(Debug)]
pub struct Place<'a>(mpsc::Permit<'a, Asked>);

impl Place<'_> {
    /// Broadcasts the notes, then acknowledges the message they came with.
    pub fn motr(self, notes: Vec<Note>, ack: Ack) {
        self.0.send(Asked::now(Broadcast::Motr(notes, ack)));
    }
}

/// The way into the lane.
#[derive(Debug, Clone)]
pub struct Lane(mpsc::Sender<Asked>);

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asked")
    }
}

impl Lane {
    /// Starts the lane's task, which ends when every clone of the `Lane` is dropped.
    pub fn spawn(parts: LaneParts) -> (Self, JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(async move {
            // Ended with the lane.
            let mut catching_up = JoinSet::new();
            while let Some(Asked { broadcast, at }) = receiver.recv().await {
                while catching_up.try_join_next().is_some() {}
                if let Broadcast::Resumed(link) = broadcast {
                    catching_up.spawn(catch_up(link, parts.clone()));
                    continue;
                }
                let view = parts.view.borrow().clone();
                run(broadcast, at, &parts, &view).await;
            }
        });
        (Self(sender), task)
    }

    /// Broadcasts what a watch said, and waits until it has been handed to every link.
    pub async fn watch(&self, update: WatchUpdate) -> Result<WatchOutcome, WatchError> {
        let (reply, outcome) = oneshot::channel();
        self.push(Broadcast::Watch(update, reply))?;
        outcome.await.map_err(|_| WatchError::Stopping)
    }

    /// A place for the notes of an NVEC SET of Motr.
    pub fn place(&self) -> Result<Place<'_>, WatchError> {
        Ok(Place(self.0.try_reserve()?))
    }

    /// Tells every other link that the process at the end of `link` has failed.
    pub fn isolate(&self, link: LinkId, process: Fid) -> Result<(), WatchError> {
        self.push(Broadcast::Isolate(link, process))
    }

    /// Tells every other process that this one has died, and drops its link. Waits for a place: a
    /// death is not lost.
    pub async fn died(&self, dead: Dead) -> Result<(), WatchError> {
        let sent = self.0.send(Asked::now(Broadcast::Died(dead))).await;
        sent.map_err(|_| WatchError::Stopping)
    }

    /// Tells the process at the end of `link`, which had a link to an earlier run of the bridge, the
    /// state of every process: there was nobody to tell it what changed in between.
    pub fn resumed(&self, link: LinkId) -> Result<(), WatchError> {
        self.push(Broadcast::Resumed(link))
    }

    /// Tells what came of a status of a process, and waits until it has been handed to every link.
    /// It waits for a place in the lane: who has written a status must not lose what it says.
    /// Returns the links reached.
    pub async fn written(&self, process: Fid, written: Written) -> usize {
        // The bridge's own link is for retiring processes, which is all the library needs of these.
        if written.to != Audience::Everyone {
            return 0;
        }
        let (reply, done) = oneshot::channel();
        let broadcast = Broadcast::Written(process, written, reply);
        // Without a reply the bridge is stopping, and there is nobody to tell.
        match self.0.send(Asked::now(broadcast)).await {
            Ok(()) => done.await.unwrap_or(0),
            Err(_) => 0,
        }
    }

    /// Tells how these processes stand now that fences say something else of them. Waits for a place: it
    /// is not said again.
    pub async fn ruled(&self, processes: Vec<Fid>) -> Result<(), WatchError> {
        let sent = self.0.send(Asked::now(Broadcast::Ruled(processes))).await;
        sent.map_err(|_| WatchError::Stopping)
    }

    fn push(&self, broadcast: Broadcast) -> Result<(), WatchError> {
        Ok(self.0.try_send(Asked::now(broadcast))?)
    }
}

impl<T> From<mpsc::error::TrySendError<T>> for WatchError {
    fn from(error: mpsc::error::TrySendError<T>) -> Self {
        match error {
            mpsc::error::TrySendError::Full(_) => Self::Busy,
            mpsc::error::TrySendError::Closed(_) => Self::Stopping,
        }
    }
}

async fn run(broadcast: Broadcast, asked: Instant, parts: &LaneParts, view: &Snapshot) {
    let LaneParts { outbox, links, .. } = parts;
    match broadcast {
        Broadcast::Watch(update, reply) => {
            let mut notes = Notes::of(&update, view, links);
            parts.rule(&mut notes, view);
            let failed: Vec<Fid> = notes
                .failed_processes()
                .filter(|process| links.is_up(*process, &view.processes))
                .collect();
            // What is under way to a process that is dead holds up the end of its link.
            let dead: Vec<LinkId> = failed.iter().flat_map(|dead| links.of(*dead)).collect();
            let links_reached = outbox.broadcast(notes.as_slice(), &dead, asked).await;
            for process in failed {
                outbox
                    .retire(process, "Consul says that it has failed")
                    .await;
            }
            let outcome = WatchOutcome {
                notes: notes.as_slice().len(),
                links: links_reached,
                ignored: update.ignored() + notes.outdated,
            };
            info!(?outcome, "broadcast what a watch said");
            // Who asked may have gone away; the broadcast is done all the same.
            let _ = reply.send(outcome);
        }
        Broadcast::Motr(notes, ack) => {
            let mut notes = Notes::of_motr(notes);
            parts.rule(&mut notes, view);
            let links_reached = outbox.broadcast(notes.as_slice(), &[], asked).await;
            debug!(
                notes = notes.as_slice().len(),
                links_reached, "broadcast an NVEC SET of Motr"
            );
            ack.delivered().await;
        }
        Broadcast::Isolate(link, process) => {
            let mut notes = Notes::of_process(process, HaState::Failed, view);
            // It has failed, but it lives: it may write until it is fenced.
            parts.rule(&mut notes, view);
            let links_reached = outbox.broadcast(notes.as_slice(), &[link], asked).await;
            error!(%process, links_reached, "told every other process that this one has failed");
        }
        Broadcast::Died(dead) => {
            let process = dead.process;
            let notes = Notes::of_process(process, HaState::Failed, view);
            // A new incarnation may have a link already; it is not told that it is dead.
            let mut except = links.of(process);
            except.push(dead.link);
            let links_reached = outbox.broadcast(notes.as_slice(), &except, asked).await;
            let elapsed = dead.noticed.elapsed();
            error!(%process, pid = dead.pid, links_reached, ?elapsed,
                "told every other process that this one has died");
            outbox.retire_dead(dead.link, process).await;
        }
        Broadcast::Written(process, Written { notes, .. }, done) => {
            let failed = |note: &Note| note.object == process && note.state == HaState::Failed;
            let gone = match notes.iter().any(failed) {
                true => links.of(process),
                false => Vec::new(),
            };
            let mut notes = Notes::of_motr(notes);
            let dead = parts.deaths.objects(&view.tree);
            notes.rule_words(&dead, &parts.verdicts.now(), view, links.own_process());
            let links_reached = outbox.broadcast(notes.as_slice(), &gone, asked).await;
            debug!(%process, notes = notes.as_slice().len(), links_reached, "broadcast a status");
            // Who asked may have gone away; the broadcast is done all the same.
            let _ = done.send(links_reached);
        }
        Broadcast::Ruled(processes) => {
            let mut notes = Notes::of_processes(&processes, view);
            parts.rule(&mut notes, view);
            let failed: Vec<Fid> = notes.failed_processes().collect();
            // Who is dead is not told so. A link that is there all the same may be that of its next life.
            let dead: Vec<LinkId> = failed.iter().flat_map(|dead| links.of(*dead)).collect();
            let links_reached = outbox.broadcast(notes.as_slice(), &dead, asked).await;
            info!(
                ?failed,
                processes = processes.len(),
                links_reached,
                "broadcast what fences say"
            );
            let up = |process: &Fid| links.is_up(*process, &view.processes);
            for process in failed.into_iter().filter(up) {
                outbox.retire(process, "it has been fenced").await;
            }
        }
        // Handled by a task of its own, which may have to wait.
        Broadcast::Resumed(_) => {}
    }
}

/// Tells a process that has come back what it may have missed, once that is known: it may be faster
/// than the first answer of Consul to a bridge that has just started.
async fn catch_up(link: LinkId, mut parts: LaneParts) {
    let known = parts
        .view
        .wait_for(|view| !view.processes.is_empty() && !view.tree.is_empty());
    let view = match tokio::time::timeout(CATCH_UP_WAIT, known).await {
        Ok(Ok(view)) => view.clone(),
        _ => return debug!(%link, "nothing is known that a process may have missed"),
    };
    let links = &parts.links;
    let mut notes = Notes::of_all(&view, links.own_process(), links.process_of(link));
    parts.rule(&mut notes, &view);
    parts.outbox.tell(link, notes.as_slice()).await;
    debug!(%link, notes = notes.as_slice().len(), "told a process what it may have missed");
}
