//! The table of events: what one status of a process changes and whom it is told.

use halink::{Fid, HaState, Note, ProcessEvent, ProcessType};

use super::Health;
use crate::cluster::{ConfTree, HareState, StoredStatus, StoredType};

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every process with a link.
    Everyone,
    /// The library in the bridge itself.
    OwnLink,
    /// Nobody.
    Nobody,
}

/// A state to be stored for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateChange {
    /// The object.
    pub object: Fid,
    /// What is to be stored.
    pub state: HareState,
}

/// What comes of one status of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    /// What is written to `processes/<fid>`.
    pub status: StoredStatus,
    /// What is written below `m0conf/`, from the drives upwards: of what does not fit into one
    /// transaction, drives go first.
    pub states: Vec<StateChange>,
    /// Objects whose stored states decided, and must not have changed when this is written.
    pub relies_on: Vec<Fid>,
    /// Every object whose stored value may matter; they are to be read afresh.
    pub reads: Vec<Fid>,
    /// What is broadcast.
    pub notes: Vec<Note>,
    /// To whom.
    pub to: Audience,
}

impl Effects {
    /// A status that is written as it is and told to nobody.
    fn silent(status: StoredStatus) -> Self {
        Self {
            status,
            states: Vec::new(),
            relies_on: Vec::new(),
            reads: Vec::new(),
            notes: Vec::new(),
            to: Audience::Nobody,
        }
    }

    fn to_own_link(status: StoredStatus, object: Fid, state: HaState) -> Self {
        Self {
            notes: vec![Note { object, state }],
            to: Audience::OwnLink,
            ..Self::silent(status)
        }
    }
}

/// What comes of an event of a process; `own` is the bridge's, and `stored` says what is stored of
/// an object of the tree.
pub fn effects(
    tree: &ConfTree,
    stored: impl Fn(Fid) -> Option<HareState>,
    own: Fid,
    process: Fid,
    status: StoredStatus,
) -> Effects {
    use ProcessEvent::{DtmRecovered, Started, Starting, Stopped, Stopping};
    use StoredType::Motr;

    if process == own {
        let kind = StoredType::BRIDGE;
        return match status.state {
            Starting | Stopping => Effects::silent(StoredStatus { kind, ..status }),
            Started | Stopped | DtmRecovered => {
                let state = DtmRecovered;
                Effects::to_own_link(StoredStatus { state, kind }, process, HaState::Online)
            }
        };
    }
    let (status, health) = match (status.state, status.kind) {
        (Starting | Stopping, _) => return Effects::silent(status),
        (_, StoredType::Bridge(_) | Motr(ProcessType::Kernel))
        | (DtmRecovered, Motr(ProcessType::M0mkfs)) => return Effects::silent(status),
        (Started, Motr(ProcessType::M0mkfs)) => {
            return Effects::to_own_link(status, process, HaState::Online);
        }
        (Stopped, Motr(ProcessType::M0mkfs)) => {
            return Effects::to_own_link(status, process, HaState::Failed);
        }
        (Started, Motr(ProcessType::M0d)) if tree.relations().is_confd(process) => {
            // A confd has no distributed transactions to recover.
            let state = DtmRecovered;
            (StoredStatus { state, ..status }, Health::Ok)
        }
        (Started, _) => (status, Health::Recovering),
        (DtmRecovered, _) => (status, Health::Ok),
        (Stopped, _) => (status, Health::Failed),
    };
    of_health(tree, stored, process, status, health)
}

/// What comes of a process that a check says is lost; `status` is the one of
/// [`is_lost`](super::is_lost).
pub fn lost(
    tree: &ConfTree,
    stored: impl Fn(Fid) -> Option<HareState>,
    process: Fid,
    status: StoredStatus,
) -> Effects {
    of_health(tree, stored, process, status, Health::Offline)
}

fn of_health(
    tree: &ConfTree,
    stored: impl Fn(Fid) -> Option<HareState>,
    process: Fid,
    status: StoredStatus,
    health: Health,
) -> Effects {
    let relations = tree.relations();
    let state = health.stored();
    let out = state.is_out();
    let of_drives = if out { HareState::Offline } else { state };
    let node = relations.node_of(process);
    let around = node.and_then(|node| relations.enclosure_of(node));
    let others: Vec<Fid> = node
        .into_iter()
        .flat_map(|node| relations.ios_on(node))
        .filter(|ios| out && *ios != process)
        .collect();
    let is_out = |ios: &Fid| stored(*ios).is_some_and(HareState::is_out);
    let whole_node = !out || others.iter().all(is_out);

    let services = tree.services_of(process);
    let sdevs: Vec<Fid> = relations.sdevs_of(process).collect();
    let controllers = relations.controllers_of(process);
    let above = [node, around].into_iter().flatten().filter(|_| whole_node);

    let mut notes = Vec::new();
    let mut told = |object, state| notes.push(Note { object, state });
    let ha_state = state.ha_state();
    told(process, ha_state);
    for service in services {
        told(*service, ha_state);
    }
    for sdev in &sdevs {
        if let Some(drive) = relations.drive_of(*sdev) {
            told(drive, drive_state(stored(*sdev), of_drives));
        }
    }
    for object in controllers.iter().copied().chain(above.clone()) {
        told(object, ha_state);
    }

    let known = |object: &Fid| relations.state(*object).is_some();
    let change = |object, state| StateChange { object, state };
    let of_sdevs = sdevs.iter().map(|sdev| change(*sdev, of_drives));
    let of_rest = services
        .iter()
        .copied()
        .chain([process])
        .chain(controllers.iter().copied());
    let states = of_sdevs.chain(
        of_rest
            .clone()
            .chain(above)
            .map(|object| change(object, state)),
    );
    let reads = sdevs
        .iter()
        .copied()
        .chain(of_rest)
        .chain(node)
        .chain(around);
    Effects {
        status,
        states: states.filter(|change| known(&change.object)).collect(),
        reads: reads.chain(others.iter().copied()).filter(known).collect(),
        relies_on: others,
        notes,
        to: Audience::Everyone,
    }
}

/// What is told of a drive whose process gets this state: a drive does not recover transactions,
/// and one that fails or is repaired keeps its own state.
fn drive_state(stored: Option<HareState>, state: HareState) -> HaState {
    match (stored, state) {
        (Some(stored), _) if stored.keeps_drive() => stored.ha_state(),
        (_, HareState::DtmRecovering) => HaState::Online,
        (_, state) => state.ha_state(),
    }
}

#[cfg(test)]
#[path = "effects_tests.rs"]
mod tests;
