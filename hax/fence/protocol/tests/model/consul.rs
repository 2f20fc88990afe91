//! Consul's side: sessions and transactions, with the checks of the RFC.

use crate::fence::model::{AttemptState, Ended, Operation, RunResult, UnixMillis};
use crate::fence::protocol::{finish, node_after, start};

use super::state::ResultOrd;
use super::{Agent, AgentState, Defect, Fencing, State};

pub(super) fn run(result: RunResult) -> Ended {
    Ended {
        result,
        evidence: String::new(),
        took_ms: 0,
    }
}

impl Fencing {
    /// A session ends; its lock cannot be taken for the lock delay.
    pub(super) fn end_session(&self, state: &mut State, at: usize) {
        let peer = &mut state.peers[at];
        peer.alive = false;
        if state.lock == Some((at, peer.number)) {
            state.lock = None;
            state.lock_delay = self.lock_delay();
        }
    }

    /// The driver's transactions: **delegate**, the end of a lost attempt, and **end**.
    pub(super) fn commit(&self, state: &mut State, at: usize) -> Option<()> {
        if !self.connected(state, at) {
            return None;
        }
        let (base, op) = state.peers[at].pending.take()?;
        let same = base == state.op || self.has(Defect::DriverWithoutIndex);
        let twice = self.has(Defect::EndTwice) && op.ended().is_some() && base.id == state.op.id;
        if same || twice {
            state.risen |= state.op.ended().is_some() && op.ended().is_none();
            self.write(state, op.as_ref().clone());
            // The answer of the first one is lost.
            if twice && same {
                state.peers[at].pending = Some((base, op));
            }
        }
        Some(())
    }

    fn write(&self, state: &mut State, op: Operation) {
        if let Some(end) = op.ended() {
            state.active = false;
            if end.outcome.is_success() {
                state.successes.insert(state.number);
            }
            if let Some(mut node) = node_after(&op, &state.node, None) {
                // Which operation it was makes no difference here.
                node.fenced = None;
                state.node = node;
            }
        }
        state.op = op.into();
    }

    /// **start**, when it arrives at Consul.
    pub(super) fn commit_start(&self, state: &mut State, at: usize) -> Option<()> {
        if !self.connected(state, at) {
            return None;
        }
        let (base, attempt, left) = state.peers[at].starting.take()?;
        let peer = &state.peers[at];
        let number = peer.number;
        let holds = peer.alive && peer.own && state.lock == Some((at, number));
        let same = base == state.op || self.has(Defect::StartWithoutIndex);
        let epoch = base.plan.as_ref().map(|plan| plan.epoch);
        let same_epoch = epoch == Some(state.node.epoch) || self.has(Defect::StartWithoutIndex);
        if !holds || !same || !same_epoch {
            return Some(());
        }
        let session = self.session(at, number).as_str();
        let Some(op) = start(&base, attempt, session, UnixMillis(0)) else {
            return Some(());
        };
        state.risen |= state.op.ended().is_some();
        state.op = op.into();
        state.age = 0;
        state.agents.push(Agent {
            op: state.number,
            attempt,
            peer: at,
            session: Some(number),
            state: AgentState::Armed(left),
        });
        Some(())
    }

    /// **finish**: by the daemon that has started the agent.
    pub(super) fn finish(&self, state: &mut State, index: usize) -> Option<()> {
        let agent = state.agents[index].clone();
        let (AgentState::Ended(results), Some(session)) = (&agent.state, agent.session) else {
            return None;
        };
        if !self.connected(state, agent.peer) {
            return None;
        }
        let peer = &state.peers[agent.peer];
        let holds =
            peer.alive && peer.number == session && state.lock == Some((agent.peer, session));
        if !holds && !self.has(Defect::FinishWithoutLock) {
            return None;
        }
        let told = |result: &ResultOrd| {
            let lie = self.has(Defect::SuccessUnconfirmed);
            run(if lie { RunResult::Success } else { result.0 })
        };
        let runs = results.iter().map(told).collect();
        self.end_attempt(state, index, runs);
        if !holds {
            return Some(());
        }
        let Some(attempt) = state.op.attempts.get(agent.attempt) else {
            return Some(());
        };
        let written = matches!(attempt.state, AttemptState::Ended { .. });
        if written && agent.op == state.number {
            let steps = attempt.steps.iter().zip(results);
            let done: Vec<_> = steps
                .filter(|(_, result)| result.0 == RunResult::Success)
                .map(|(step, _)| (attempt.level, *step))
                .collect();
            state.confirmed.extend(done);
        }
        Some(())
    }

    /// The daemon has lost its session, and its agent has ended: it says that nobody knows how.
    pub(super) fn abandon(&self, state: &mut State, index: usize) -> Option<()> {
        let agent = state.agents[index].clone();
        let session = agent.session?;
        let peer = &state.peers[agent.peer];
        let lost = !peer.alive || peer.number != session;
        if !lost || !matches!(agent.state, AgentState::Ended(_)) {
            return None;
        }
        if !self.connected(state, agent.peer) {
            return None;
        }
        let steps = match &agent.state {
            AgentState::Ended(results) => results.len(),
            _ => 0,
        };
        let runs = vec![run(RunResult::Indeterminate); steps];
        self.end_attempt(state, index, runs);
        Some(())
    }

    fn end_attempt(&self, state: &mut State, index: usize, runs: Vec<Ended>) {
        let agent = state.agents.remove(index);
        let Some(session) = agent.session.filter(|_| agent.op == state.number) else {
            return;
        };
        let session = self.session(agent.peer, session).as_str();
        if let Some(op) = finish(&state.op, agent.attempt, session, runs) {
            state.op = op.into();
        }
    }
}
