//! Telling Motr what fences change: a process that was TRANSIENT is confirmed, or one that was FAILED
//! may take part again (`rfc/12-fencing.md`).

use std::collections::{BTreeMap, BTreeSet};

use halink::{Fid, HaState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::lane::Lane;
use super::verdicts::{SharedVerdicts, Verdicts};
use crate::cluster::Snapshot;

/// The task that compares.
#[derive(Debug)]
pub struct Rulings {
    /// What fences say.
    pub verdicts: SharedVerdicts,
    /// What checks and the processes themselves say.
    pub view: watch::Receiver<Snapshot>,
    /// Where it is told.
    pub lane: Lane,
    /// The bridge's own process.
    pub own: Fid,
}

/// How a process stands that has failed or is said to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    confirmed: bool,
    state: HaState,
}

impl Rulings {
    /// Tells until it is cancelled.
    pub async fn follow(self, cancel: CancellationToken) {
        let Self {
            verdicts,
            mut view,
            lane,
            own,
        } = self;
        let mut verdicts = verdicts.changes();
        let mut before = BTreeMap::new();
        loop {
            let (fences, snapshot) = (
                verdicts.borrow_and_update().clone(),
                view.borrow_and_update().clone(),
            );
            let after = standings(&fences, &snapshot, own);
            let changed = changed(&before, &after);
            before = after;
            if !changed.is_empty()
                && let Err(error) = lane.ruled(changed).await
            {
                warn!(%error, "what fences have changed is not told");
            }
            let changes = async {
                tokio::select! {
                    changed = verdicts.changed() => changed,
                    changed = view.changed() => changed,
                }
            };
            let Some(Ok(())) = cancel.run_until_cancelled(changes).await else {
                return;
            };
        }
    }
}

/// The processes that checks or fences have something against.
fn standings(verdicts: &Verdicts, view: &Snapshot, own: Fid) -> BTreeMap<Fid, Standing> {
    if !verdicts.enabled {
        return BTreeMap::new();
    }
    let nodes = verdicts.fenced.iter().chain(view.failing.nodes.keys());
    let of_nodes = nodes.flat_map(|node| view.tree.processes_on(node).iter().copied());
    let failing = view.failing.processes.keys().copied();
    let confirmed = verdicts.confirmed.keys().copied();
    let accused: BTreeSet<Fid> = of_nodes.chain(failing).chain(confirmed).collect();
    let standing = |process: Fid| {
        let state = view.state_of(process).unwrap_or(HaState::Online);
        Standing {
            confirmed: verdicts.is_confirmed(process, view),
            state: verdicts.state(process, state, view, own),
        }
    };
    accused
        .into_iter()
        .filter(|process| *process != own)
        .map(|process| (process, standing(process)))
        .collect()
}

/// Processes of which something else is to be told now. What checks say is told by Consul's watches;
/// this is about what they cannot know.
fn changed(before: &BTreeMap<Fid, Standing>, after: &BTreeMap<Fid, Standing>) -> Vec<Fid> {
    let had_failed = |process: &Fid| {
        let was = before.get(process);
        was.is_some_and(|was| was.state == HaState::Failed)
    };
    // A watch may have come before the word of a process that it has stopped, and been told as
    // TRANSIENT: so this is told of those that have stopped, too.
    let newly_failed = after
        .iter()
        .filter(|(process, now)| now.state == HaState::Failed && !had_failed(process));
    let released = before.iter().filter(|(process, was)| {
        was.confirmed && !after.get(process).is_some_and(|now| now.confirmed)
    });
    let changed: BTreeSet<Fid> = newly_failed
        .chain(released)
        .map(|(process, _)| *process)
        .collect();
    changed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Fid = Fid::new(0x7200_0000_0000_0001, 2);

    fn one(confirmed: bool, state: HaState) -> BTreeMap<Fid, Standing> {
        BTreeMap::from([(PROCESS, Standing { confirmed, state })])
    }

    #[test]
    fn only_what_a_fence_changes_is_told() {
        let none = BTreeMap::new();
        let (transient, failed, online) = (
            one(false, HaState::Transient),
            one(true, HaState::Failed),
            one(false, HaState::Online),
        );
        let stopped = one(false, HaState::Failed);
        for (what, before, after, told) in [
            ("a check", &none, &transient, false),
            ("a check that passes", &transient, &none, false),
            ("confirmed at once", &none, &failed, true),
            ("confirmed", &transient, &failed, true),
            ("confirmed while it passed", &online, &failed, true),
            ("nothing", &failed, &failed, false),
            ("released", &failed, &none, true),
            ("released, still failing", &failed, &transient, true),
            ("released, and fine", &failed, &online, true),
            ("its word came late", &transient, &stopped, true),
            ("it has stopped", &none, &stopped, true),
            ("it starts again", &stopped, &none, false),
        ] {
            let told: &[Fid] = if told { &[PROCESS] } else { &[] };
            assert_eq!(changed(before, after), told, "{what}");
        }
    }
}
