//! A model of the protocol for stateright: a few peers, Consul, and agents that nobody can see. What the
//! peers decide and write are the functions of `protocol`; the transactions, with their checks, are
//! modelled here, and it is there that defects are put in.

mod consul;
mod peers;
mod properties;
mod state;
mod steps;

use std::collections::BTreeMap;

use stateright::{Model, Property};

use crate::fence::model::{DeviceName, NodeName, Operation, PeerRecord, Plan, Reach, Target};
use crate::fence::view::Peer;
use consul_client::SessionId;

pub(super) use state::{Agent, AgentState, State};

/// Ticks within which an agent may be spawned, counted from before **start** was sent.
pub(super) const START_WINDOW: u8 = 1;
/// Ticks that an agent runs at most.
pub(super) const RUN: u8 = 1;

/// Something left out or done wrong in the transactions around the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// **finish** does not check the lock.
    FinishWithoutLock,
    /// A lost attempt is written off without a wait.
    NoWait,
    /// A new observer takes the time of the record, by a clock that is ahead, for its own.
    WaitByRecord,
    /// **start** is written whatever has become of the record.
    StartWithoutIndex,
    /// The driver writes whatever has become of the record.
    DriverWithoutIndex,
    /// The delegate writes success, whatever its agent has said.
    SuccessUnconfirmed,
    /// The driver delegates beside an attempt that is running.
    DelegateBeside,
    /// An operator may end an operation while an attempt is running.
    OperatorAnytime,
    /// The driver waits for no longer than a run and the start window.
    ShortLockDelay,
    /// **end** is written twice when its first answer was lost.
    EndTwice,
    /// An agent is spawned without looking at the start window.
    LateSpawn,
}

/// The model: its bounds, and what is wrong with it.
#[derive(Debug, Clone)]
pub(super) struct Fencing {
    /// The peers that are not the target.
    pub(super) names: Vec<NodeName>,
    pub(super) target: Target,
    pub(super) plan: Plan,
    /// Crashes, lost sessions, partitions and commands of operators, all together.
    pub(super) faults: u8,
    /// Operations, one after another.
    pub(super) requests: u8,
    /// Whoever sees the record may decide, not only the driver: more than is ever allowed.
    pub(super) anyone: bool,
    /// A decision is not committed at the instant at which it is taken.
    pub(super) slow: bool,
    pub(super) defect: Option<Defect>,
    sessions: Vec<Vec<SessionId>>,
}

/// One step of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Activate(usize),
    Look(usize),
    Decide(usize),
    Commit(usize),
    Lock(usize),
    Unlock(usize),
    SendStart(usize),
    CommitStart(usize),
    GiveUp(usize),
    Spawn(usize),
    Discard(usize),
    AgentEnds(usize, bool),
    Finish(usize),
    Abandon(usize),
    Expire(usize),
    NewSession(usize),
    Restart(usize),
    Heal(usize),
    Tick,
    Request,
    // Faults.
    Crash(usize),
    LoseSession(usize),
    Cut(usize),
    Cancel,
}

impl Act {
    pub(super) fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Crash(_) | Self::LoseSession(_) | Self::Cut(_) | Self::Cancel
        )
    }
}

impl Fencing {
    pub(super) fn new(peers: usize, plan: Plan) -> Self {
        let names = ["a", "b", "c"].into_iter().take(peers);
        let session = |peer: usize, number: usize| {
            let text = format!("{peer:08x}-0000-4000-8000-{number:012x}");
            text.parse().unwrap()
        };
        Self {
            names: names.map(|name| name.parse().unwrap()).collect(),
            target: "t".parse().unwrap(),
            plan,
            faults: 1,
            requests: 1,
            anyone: true,
            slow: true,
            defect: None,
            sessions: (0..peers)
                .map(|peer| (0..32).map(|number| session(peer, number)).collect())
                .collect(),
        }
    }

    /// The first operation, as it is requested.
    pub(super) fn operation(&self) -> Operation {
        state::request(self, 0)
    }

    pub(super) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// The lock delay, in ticks. With it the driver waits for a run, the start window and one tick more, which
    /// the shortest lock delay that can be configured gives.
    pub(super) fn lock_delay(&self) -> u8 {
        if self.has(Defect::ShortLockDelay) {
            START_WINDOW
        } else {
            START_WINDOW + 1
        }
    }

    pub(super) fn session(&self, peer: usize, number: u8) -> &SessionId {
        &self.sessions[peer][usize::from(number)]
    }

    /// The peers as Consul shows them.
    pub(super) fn peers(&self, state: &State) -> BTreeMap<NodeName, Peer> {
        let devices = self.plan.levels.iter().flat_map(|level| &level.steps);
        let reach: BTreeMap<DeviceName, Reach> = devices
            .map(|step| (step.device.clone(), Reach::default()))
            .collect();
        let names = self.names.iter().enumerate();
        names
            .map(|(at, name)| {
                let peer = &state.peers[at];
                let record = PeerRecord {
                    devices: reach.clone(),
                    ..PeerRecord::default()
                };
                let session = peer.alive.then(|| self.session(at, peer.number).clone());
                (name.clone(), Peer { record, session })
            })
            .collect()
    }
}

impl Model for Fencing {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Act>) {
        actions.extend(self.all(state));
    }

    fn next_state(&self, state: &State, act: Act) -> Option<State> {
        self.apply(state, &act)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
