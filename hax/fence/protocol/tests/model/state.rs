//! What the world of the model consists of.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fence::model::{
    Action, NodeRecord, Operation, Options, Origin, Phase, RunResult, Source, UnixMillis,
};

use super::Fencing;

/// The world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct State {
    // In Consul.
    pub(super) op: Arc<Operation>,
    /// `fence/active/<target>` names the operation.
    pub(super) active: bool,
    pub(super) node: NodeRecord,
    /// Who holds the target's lock: peer, and number of its session.
    pub(super) lock: Option<(usize, u8)>,
    /// Ticks until the lock of a lost session can be taken.
    pub(super) lock_delay: u8,
    // Nobody sees these as a whole.
    pub(super) peers: Vec<PeerState>,
    pub(super) agents: Vec<Agent>,
    // For the bounds and the properties.
    pub(super) faults: u8,
    /// Number of the operation, from 0.
    pub(super) number: u8,
    /// Operations that have ended with success.
    pub(super) successes: BTreeSet<u8>,
    /// Steps of this operation that an agent has done while its session held the lock.
    pub(super) confirmed: BTreeSet<(usize, usize)>,
    /// Ticks since the last **start**; only with [`super::Defect::WaitByRecord`].
    pub(super) age: u8,
    /// An operation that has ended was written again.
    pub(super) risen: bool,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in super::super) struct PeerState {
    /// Its daemon runs.
    pub(super) up: bool,
    /// It cannot reach Consul.
    pub(super) cut: bool,
    /// Consul has its session.
    pub(super) alive: bool,
    /// The session is that of the daemon that runs, not of one before it.
    pub(super) own: bool,
    /// Number of its last session.
    pub(super) number: u8,
    /// What it watches: operation, attempt, whether that runs; and for how many ticks.
    pub(super) watch: Option<((u8, usize, bool), u8)>,
    /// A **start** that was sent: what it was made from, the attempt, and what is left of the window.
    pub(super) starting: Option<(Arc<Operation>, usize, u8)>,
    /// A decision that was sent: what it was made from, and what is to be written.
    pub(super) pending: Option<(Arc<Operation>, Arc<Operation>)>,
}

/// What runs, or may be spawned, or has run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) struct Agent {
    pub(super) op: u8,
    pub(super) attempt: usize,
    pub(super) peer: usize,
    /// The session that has started it; none: its daemon has gone.
    pub(super) session: Option<u8>,
    pub(super) state: AgentState,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) enum AgentState {
    /// **start** is committed; the guard may spawn it in this many ticks.
    Armed(u8),
    /// It acts on the target; it is ended in this many ticks.
    Running(u8),
    /// It has ended: success, or not.
    Ended(Vec<ResultOrd>),
}

/// A result with an order, so that agents can be sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct ResultOrd(pub(super) RunResult);

impl PartialOrd for ResultOrd {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResultOrd {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.code().cmp(&other.0.code())
    }
}

impl State {
    pub(super) fn new(model: &Fencing) -> Self {
        let peer = PeerState {
            up: true,
            alive: true,
            own: true,
            ..PeerState::default()
        };
        Self {
            op: Arc::new(request(model, 0)),
            active: true,
            node: NodeRecord::default(),
            lock: None,
            lock_delay: 0,
            peers: vec![peer; model.names.len()],
            agents: Vec::new(),
            faults: model.faults,
            number: 0,
            successes: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            age: 0,
            risen: false,
        }
    }

    /// What an observer watches: the open attempt in its state.
    pub(super) fn key(&self) -> Option<(u8, usize, bool)> {
        use crate::fence::model::AttemptState;
        let (index, attempt) = self.op.open_attempt()?;
        let running = matches!(attempt.state, AttemptState::Running { .. });
        Some((self.number, index, running))
    }
}

pub(super) fn request(model: &Fencing, number: u8) -> Operation {
    let first = model.names[0].clone();
    Operation {
        id: format!("00000000-0000-7000-8000-{number:012x}")
            .parse()
            .unwrap(),
        target: model.target.clone(),
        action: Action::Reboot,
        origin: Origin {
            node: first.clone(),
            source: Source::Operator,
            who: String::new(),
            reason: String::new(),
            at: UnixMillis(0),
        },
        joined: Vec::new(),
        options: Options::default(),
        driver: first,
        phase: Phase::Requested,
        before: Default::default(),
        plan: None,
        attempts: Vec::new(),
    }
}
