//! What a peer does: it looks, decides, and sends.

use std::sync::Arc;

use crate::fence::model::{AttemptState, NodeName, Operation, Phase, UnixMillis};
use crate::fence::protocol::{Decision, World, decide, decline, delegated_to, is_driver};

use super::{AgentState, Defect, Fencing, RUN, START_WINDOW, State};

impl Fencing {
    /// Whether a peer can commit something.
    pub(super) fn connected(&self, state: &State, peer: usize) -> bool {
        let peer = &state.peers[peer];
        peer.up && !peer.cut
    }

    /// Whether it is a peer's turn to decide.
    fn turn(&self, state: &State, peer: usize, world: &World<'_>) -> bool {
        self.connected(state, peer) && (self.anyone || is_driver(&state.op, world))
    }

    fn with_world<T>(&self, state: &State, peer: usize, then: impl FnOnce(&World<'_>) -> T) -> T {
        let me: &NodeName = &self.names[peer];
        let peers = self.peers(state);
        let elapsed = match state.peers[peer].watch {
            Some((key, elapsed)) if Some(key) == state.key() => elapsed,
            _ => 0,
        };
        let wait = RUN + self.lock_delay();
        let by_record = state.age + START_WINDOW + 1 >= wait;
        let waited = elapsed >= wait
            || self.has(Defect::NoWait)
            || (self.has(Defect::WaitByRecord) && by_record);
        then(&World {
            me,
            peers: &peers,
            now: UnixMillis(0),
            waited,
            accept_over: elapsed >= 1,
            overdue: elapsed > RUN,
        })
    }

    /// **activate**.
    pub(super) fn activate(&self, state: &mut State, peer: usize) -> Option<()> {
        let turn = self.with_world(state, peer, |world| self.turn(state, peer, world));
        if !turn || !state.active || state.op.phase != Phase::Requested {
            return None;
        }
        let mut op = (*state.op).clone();
        let mut plan = self.plan.clone();
        plan.epoch = state.node.epoch;
        op.phase = Phase::Active;
        op.plan = Some(plan);
        state.op = op.into();
        Some(())
    }

    /// It begins to watch an attempt that it has not seen in this state.
    pub(super) fn look(&self, state: &mut State, peer: usize) -> Option<()> {
        let key = state.key()?;
        let connected = self.connected(state, peer);
        let peer = &mut state.peers[peer];
        let known = peer.watch.is_some_and(|(watched, _)| watched == key);
        (connected && !known).then(|| peer.watch = Some((key, 0)))
    }

    pub(super) fn decide(&self, state: &mut State, peer: usize) -> Option<()> {
        let seen = state.peers[peer].watch.map(|(key, _)| key);
        if !state.active || (state.key().is_some() && state.key() != seen) {
            return None;
        }
        let decision = self.with_world(state, peer, |world| {
            let turn = self.turn(state, peer, world);
            turn.then(|| self.decision(&state.op, world))
        })?;
        let op = match decision {
            Decision::Wait => return None,
            Decision::DestroySession(session) => {
                let at = (0..self.names.len()).find(|at| {
                    let number = state.peers[*at].number;
                    self.session(*at, number).as_str() == session
                })?;
                return state.peers[at].alive.then(|| self.end_session(state, at));
            }
            Decision::Write(op) | Decision::End(op) => op,
        };
        // Who has decided is for people: it makes no difference, and many states.
        let driver = self.names[0].clone();
        let op = Arc::new(Operation { driver, ..op });
        let sent = Some((Arc::clone(&state.op), op));
        if state.peers[peer].pending == sent {
            return None;
        }
        state.peers[peer].pending = sent;
        if self.slow {
            return Some(());
        }
        self.commit(state, peer)
    }

    fn decision(&self, op: &Operation, world: &World<'_>) -> Decision {
        let decided = decide(op, world);
        let beside = self.has(Defect::DelegateBeside) && decided == Decision::Wait;
        let Some(last) = op.attempts.last().filter(|_| beside) else {
            return decided;
        };
        if !matches!(last.state, AttemptState::Running { .. }) || op.attempts.len() > 2 {
            return decided;
        }
        let mut without = op.clone();
        without.attempts.pop();
        match decide(&without, world) {
            Decision::Write(mut op) => {
                let at = op.attempts.len() - 1;
                op.attempts.insert(at, last.clone());
                Decision::Write(op)
            }
            _ => decided,
        }
    }

    /// It takes the target's lock for an attempt that waits for it.
    pub(super) fn lock(&self, state: &mut State, at: usize) -> Option<()> {
        delegated_to(&state.op, &self.names[at])?;
        let peer = &state.peers[at];
        let may = self.connected(state, at) && peer.alive && peer.own;
        let free = state.lock.is_none() && state.lock_delay == 0;
        let number = peer.number;
        (may && free).then(|| state.lock = Some((at, number)))
    }

    /// It gives the lock back when it has nothing to do with it.
    pub(super) fn unlock(&self, state: &mut State, at: usize) -> Option<()> {
        let peer = &state.peers[at];
        let held = state.lock == Some((at, peer.number)) && peer.own;
        let busy = peer.starting.is_some()
            || delegated_to(&state.op, &self.names[at]).is_some()
            || state
                .agents
                .iter()
                .any(|agent| agent.peer == at && agent.session.is_some());
        (held && self.connected(state, at) && !busy).then(|| state.lock = None)
    }

    /// It sends **start**; its window begins now.
    pub(super) fn send_start(&self, state: &mut State, at: usize) -> Option<()> {
        let attempt = delegated_to(&state.op, &self.names[at])?;
        let connected = self.connected(state, at);
        let peer = &mut state.peers[at];
        let may = connected && peer.alive && peer.own && peer.starting.is_none();
        let holds = state.lock == Some((at, peer.number));
        (may && holds).then(|| {
            peer.starting = Some((Arc::clone(&state.op), attempt, START_WINDOW + 1));
        })
    }

    /// Too late: it refuses the attempt, unless **start** was committed all the same.
    pub(super) fn give_up(&self, state: &mut State, at: usize) -> Option<()> {
        let connected = self.connected(state, at);
        let peer = &mut state.peers[at];
        let (base, attempt, left) = peer.starting.clone()?;
        if left > 0 || !connected {
            return None;
        }
        peer.starting = None;
        if base == state.op {
            let run = super::consul::run(crate::fence::model::RunResult::Refused);
            if let Some(op) = decline(&state.op, attempt, vec![run]) {
                state.op = op.into();
            }
        }
        Some(())
    }

    /// Whether any agent of an operation may act now or later.
    pub(super) fn acts(agent: &super::Agent) -> bool {
        match agent.state {
            AgentState::Armed(left) => left > 0,
            AgentState::Running(_) => true,
            AgentState::Ended(_) => false,
        }
    }
}
