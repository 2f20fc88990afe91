//! What is known of the processes of this machine: who is watched, and who is confirmed dead.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use halink::{Fid, LinkId, ProcessType};
use rustix::process::{Resource, getrlimit};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::held::{Held, Holding, Identified, Proven};
use super::proof::{Claim, Evidence, Unproven};
use super::watch::Dead;
use crate::cluster::ConfTree;

/// Watches at most, and confirmed deaths.
const MAX: usize = 4_096;

/// How many processes may be watched: 4,096, and no more than half of the files that the bridge
/// may open, for it needs the others to talk.
pub fn watches_max() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    files.map_or(MAX, |files| {
        usize::try_from(files / 2).map_or(MAX, |half| half.min(MAX))
    })
}

/// A process that is known to have ended: not by its silence, but because the kernel said so of
/// this very process. It does nothing any more; its node may well be up. How it exited is not
/// known: only a parent is told.
///
/// Only the death watch makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmedDead {
    dead: Dead,
    at: SystemTime,
}

impl ConfirmedDead {
    /// Who it was, and when its death was noticed.
    pub fn dead(&self) -> Dead {
        self.dead
    }

    /// When its death was noticed, by the clock on the wall.
    pub fn at(&self) -> SystemTime {
        self.at
    }
}

/// What a watchdog of this machine has to know: who can be ended for certain, and who cannot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guarded {
    /// The processes that were identified and may be alive.
    pub identified: BTreeSet<Identified>,
    /// The fids whose newest process was identified, alive or not.
    pub accounted: BTreeSet<Fid>,
    /// Processes with a link that nobody could end for certain, with the reason.
    pub loose: BTreeMap<Fid, String>,
    /// There are more processes than are followed.
    pub full: bool,
}

/// Where a watch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchState {
    /// The process is being identified.
    Proving,
    /// Its death will be noticed.
    Watched(Evidence),
    /// It is not watched, and why.
    Unproven(Unproven),
    /// It has ended, or a new incarnation has taken its fid.
    Ended,
}

/// What came of a message or a link of a process.
#[derive(Debug)]
pub enum Heard {
    /// The process is to be identified and watched, until the token is cancelled.
    New(CancellationToken),
    /// It is known already.
    Known,
    /// Too many are watched.
    Refused,
}

/// What the end of a watch means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// Nothing: the link has gone, or the process lives on.
    Nothing,
    /// It had said that it has stopped.
    Orderly,
    /// It was an m0mkfs, and had not.
    Mkfs,
    /// It has failed. `confirmed`: its fid is dead from here on; else a new incarnation has it.
    Failed {
        /// Whether the fid is dead.
        confirmed: bool,
    },
}

#[derive(Debug)]
struct Watch {
    process: Fid,
    pid: u64,
    /// What it says it is, and whether it has stopped. Nothing of a process that has not spoken to
    /// this run of the bridge.
    said: Option<(ProcessType, bool)>,
    superseded: bool,
    state: WatchState,
    wake: CancellationToken,
}

/// The table, shared by all who have to know. Its lock is held for look-ups only.
///
/// A process is dead here until its fid speaks again; see `rfc/10-death-watch.md`.
#[derive(Debug)]
pub struct Deaths {
    watches_max: usize,
    inner: Mutex<Inner>,
    /// Told whenever somebody has died, or a dead one speaks again.
    changes: watch::Sender<()>,
    /// Told whenever [`guarded`](Self::guarded) may have changed.
    guarded: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    watches: HashMap<LinkId, Watch>,
    dead: BTreeMap<Fid, ConfirmedDead>,
    held: Held,
}

impl Deaths {
    /// An empty table for so many watches.
    pub fn new(watches_max: usize) -> Self {
        Self {
            watches_max,
            inner: Mutex::default(),
            changes: watch::Sender::default(),
            guarded: watch::Sender::default(),
        }
    }

    /// Told whenever [`guarded`](Self::guarded) may have changed for another reason than a death.
    pub fn guarded_changes(&self) -> watch::Receiver<()> {
        self.guarded.subscribe()
    }

    /// Who can be ended for certain, and who cannot.
    pub fn guarded(&self) -> Guarded {
        let inner = self.lock();
        let identified: BTreeSet<_> = inner.held.identified().into_iter().collect();
        let mut loose = BTreeMap::new();
        for watch in inner.watches.values() {
            let is_held = || inner.held.has(watch.process, watch.pid);
            let why = match watch.state {
                WatchState::Unproven(Unproven::Died | Unproven::NoProcess) => continue,
                WatchState::Unproven(reason) => reason.to_string(),
                WatchState::Watched(_) if !is_held() => "too many processes are held".to_owned(),
                WatchState::Watched(_) | WatchState::Proving | WatchState::Ended => continue,
            };
            loose.insert(watch.process, why);
        }
        Guarded {
            accounted: inner.held.accounted().collect(),
            identified,
            loose,
            full: inner.watches.len() >= self.watches_max,
        }
    }

    /// Told whenever a process is confirmed dead.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// A process says that it is this one, and is to be identified.
    pub(super) fn claimed(&self, claim: &Claim) {
        // Each is a file that is open for longer than its watch.
        let max = self.watches_max / 2;
        let mut inner = self.lock();
        let Claim {
            process,
            pid,
            endpoint,
            ..
        } = claim;
        inner.held.claimed(*process, *pid, endpoint, max);
    }

    /// It was identified: it can be killed from here on, also when its link has gone.
    pub(super) fn holds(&self, link: LinkId, process: Fid, proven: Proven) {
        let mut inner = self.lock();
        let watch = inner.of(link, proven.pid);
        let newest = watch.is_some_and(|watch| !watch.superseded);
        inner.held.proven(process, proven, newest);
        drop(inner);
        self.guarded.send_replace(());
    }

    /// What a fence of the process kills.
    pub(super) fn holding(&self, process: Fid) -> Option<Holding> {
        self.lock().held.of(process)
    }

    /// The processes that have spoken to this run of the bridge and may be alive.
    pub fn may_live(&self) -> Vec<Fid> {
        self.lock().held.alive()
    }

    /// A process with this pid has spoken over a link. `said`: what it is, and whether it has
    /// stopped; nothing if it has only connected.
    pub fn heard(
        &self,
        link: LinkId,
        process: Fid,
        pid: u64,
        said: Option<(ProcessType, bool)>,
    ) -> Heard {
        let mut inner = self.lock();
        let again = |known: &ConfirmedDead| (known.dead.link, known.dead.pid) != (link, pid);
        if inner.dead.get(&process).is_some_and(again) {
            inner.dead.remove(&process);
        }
        let full = inner.watches.len() >= self.watches_max;
        if let Some(watch) = inner.watches.get_mut(&link) {
            if (watch.process, watch.pid) == (process, pid) {
                watch.said = said.or(watch.said);
                return Heard::Known;
            }
            // Another process behind the same link: whatever was there is gone.
            watch.wake.cancel();
        } else if full {
            return Heard::Refused;
        }
        let wake = CancellationToken::new();
        let watch = Watch {
            process,
            pid,
            said,
            superseded: false,
            state: WatchState::Proving,
            wake: wake.clone(),
        };
        inner.watches.insert(link, watch);
        Heard::New(wake)
    }

    /// A new incarnation of a process asks for its first entrypoint: it is not dead, and whoever
    /// had the fid before is no longer its process.
    pub fn reborn(&self, process: Fid) {
        let mut inner = self.lock();
        inner.dead.remove(&process);
        inner.held.reborn(process);
        let older = |watch: &&mut Watch| watch.process == process;
        for watch in inner.watches.values_mut().filter(older) {
            watch.superseded = true;
            watch.wake.cancel();
        }
    }

    /// A link has gone, and with it the watch.
    pub fn forget(&self, link: LinkId) {
        if let Some(watch) = self.lock().watches.remove(&link) {
            watch.wake.cancel();
        }
        self.guarded.send_replace(());
    }

    /// What came of the identification.
    pub fn proven(&self, link: LinkId, pid: u64, outcome: Result<Evidence, Unproven>) {
        let mut inner = self.lock();
        if let Some(watch) = inner.of(link, pid) {
            let process = watch.process;
            watch.state = match outcome {
                Ok(evidence) => WatchState::Watched(evidence),
                Err(reason) => WatchState::Unproven(reason),
            };
            if let Err(reason) = outcome {
                inner.held.stranger(process, pid, reason);
            }
        }
        drop(inner);
        self.guarded.send_replace(());
    }

    /// A watch has been woken: the process has died, or a new incarnation is there. `last_word` is
    /// what KV says, for a process that has not spoken to this run of the bridge.
    pub fn fallen(&self, dead: &Dead, died: bool, last_word: Option<(ProcessType, bool)>) -> Fall {
        let mut inner = self.lock();
        let Some(watch) = inner.of(dead.link, dead.pid) else {
            return Fall::Nothing;
        };
        watch.state = WatchState::Ended;
        self.guarded.send_replace(());
        let superseded = watch.superseded;
        let said = watch.said.or(last_word);
        let (kind, stopped) = said.unwrap_or((ProcessType::M0d, false));
        match (died, stopped) {
            (false, _) => return Fall::Nothing,
            (true, true) => return Fall::Orderly,
            (true, false) if kind == ProcessType::M0mkfs => return Fall::Mkfs,
            (true, false) => {}
        }
        if !superseded {
            inner.bury(ConfirmedDead {
                dead: *dead,
                at: SystemTime::now(),
            });
            self.changes.send_replace(());
        }
        Fall::Failed {
            confirmed: !superseded,
        }
    }

    /// The fact that the present incarnation of a process has ended without saying that it stops.
    /// This is what a fence of the process may take as success.
    pub fn confirmed(&self, process: Fid) -> Option<ConfirmedDead> {
        self.lock().dead.get(&process).copied()
    }

    /// All confirmed deaths, by fid.
    pub fn all(&self) -> Vec<ConfirmedDead> {
        self.lock().dead.values().copied().collect()
    }

    /// Every object that is dead: processes, and their services as the tree has them.
    pub fn objects(&self, tree: &ConfTree) -> HashSet<Fid> {
        let inner = self.lock();
        let of = |process: &Fid| {
            let services = tree.services_of(*process).iter().copied();
            services.chain([*process]).collect::<Vec<_>>()
        };
        inner.dead.keys().flat_map(of).collect()
    }

    /// The state of the watch on a link.
    pub fn state(&self, link: LinkId) -> Option<WatchState> {
        self.lock().watches.get(&link).map(|watch| watch.state)
    }

    /// No code panics with the lock held, so a poisoned table is still a whole one.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The watch on a link, if it is still of this pid and has not ended.
    fn of(&mut self, link: LinkId, pid: u64) -> Option<&mut Watch> {
        let watch = self.watches.get_mut(&link)?;
        (watch.pid == pid && watch.state != WatchState::Ended).then_some(watch)
    }

    fn bury(&mut self, confirmed: ConfirmedDead) {
        let process = confirmed.dead.process;
        if self.dead.len() >= MAX && !self.dead.contains_key(&process) {
            let dead = self.dead.values().map(|confirmed| confirmed.dead);
            if let Some(oldest) = dead.min_by_key(|dead| dead.noticed) {
                self.dead.remove(&oldest.process);
            }
        }
        self.dead.insert(process, confirmed);
    }
}
