//! The steps that the world can take.

use std::sync::Arc;

use crate::fence::model::{End, Operation, Outcome, Phase, RunResult, UnixMillis};
use crate::fence::protocol::{delegated_to, may_end};

use super::state::{ResultOrd, request};
use super::{Act, AgentState, Defect, Fencing, RUN, State};

impl Fencing {
    /// All steps that may be possible; [`Self::apply`] knows which are.
    pub(super) fn all(&self, state: &State) -> Vec<Act> {
        let mut all = vec![Act::Tick, Act::Request, Act::Cancel];
        let requested = state.op.phase == Phase::Requested;
        for (at, peer) in state.peers.iter().enumerate() {
            let faulty = state.faults > 0;
            let connected = peer.up && !peer.cut;
            let holds = state.lock == Some((at, peer.number));
            let asked = delegated_to(&state.op, &self.names[at]).is_some();
            let may = [
                (Act::Activate(at), connected && requested),
                (Act::Look(at), connected && !requested),
                (Act::Decide(at), connected && !requested && state.active),
                (Act::Commit(at), connected && peer.pending.is_some()),
                (Act::Lock(at), connected && asked && state.lock.is_none()),
                (Act::Unlock(at), connected && holds && !asked),
                (Act::SendStart(at), connected && holds && asked),
                (Act::CommitStart(at), connected && peer.starting.is_some()),
                (Act::GiveUp(at), connected && peer.starting.is_some()),
                (Act::Expire(at), peer.alive && (!peer.own || peer.cut)),
                (Act::NewSession(at), connected && !peer.alive),
                (Act::Restart(at), !peer.up),
                (Act::Heal(at), peer.cut),
                (Act::Crash(at), faulty && peer.up),
                (Act::LoseSession(at), faulty && peer.alive && peer.own),
                (Act::Cut(at), faulty && connected),
            ];
            all.extend(may.into_iter().filter(|(_, may)| *may).map(|(act, _)| act));
        }
        for agent in 0..state.agents.len() {
            all.extend([
                Act::Spawn(agent),
                Act::Discard(agent),
                Act::AgentEnds(agent, true),
                Act::AgentEnds(agent, false),
                Act::Finish(agent),
                Act::Abandon(agent),
            ]);
        }
        all
    }

    /// The world after a step; none if the step cannot be taken, or changes nothing.
    pub(super) fn apply(&self, state: &State, act: &Act) -> Option<State> {
        let mut next = state.clone();
        if act.is_fault() {
            next.faults = next.faults.checked_sub(1)?;
        }
        match *act {
            Act::Tick => self.tick(&mut next),
            Act::Request => self.request(&mut next),
            Act::Cancel => self.cancel(&mut next),
            Act::Activate(peer) => self.activate(&mut next, peer),
            Act::Look(peer) => self.look(&mut next, peer),
            Act::Decide(peer) => self.decide(&mut next, peer),
            Act::Commit(peer) => self.commit(&mut next, peer),
            Act::Lock(peer) => self.lock(&mut next, peer),
            Act::Unlock(peer) => self.unlock(&mut next, peer),
            Act::SendStart(peer) => self.send_start(&mut next, peer),
            Act::CommitStart(peer) => self.commit_start(&mut next, peer),
            Act::GiveUp(peer) => self.give_up(&mut next, peer),
            Act::Spawn(agent) => self.spawn(&mut next, agent),
            Act::Discard(agent) => self.discard(&mut next, agent),
            Act::AgentEnds(agent, success) => self.agent_ends(&mut next, agent, success),
            Act::Finish(agent) => self.finish(&mut next, agent),
            Act::Abandon(agent) => self.abandon(&mut next, agent),
            Act::Crash(peer) => crash(&mut next, peer),
            Act::Restart(peer) => restart(&mut next, peer),
            Act::Expire(peer) => {
                let gone = &next.peers[peer];
                let may = gone.alive && (!gone.own || gone.cut);
                may.then(|| self.end_session(&mut next, peer))
            }
            Act::LoseSession(peer) => {
                let lost = &next.peers[peer];
                let may = lost.alive && lost.own;
                may.then(|| self.end_session(&mut next, peer))
            }
            Act::NewSession(peer) => new_session(&mut next, peer),
            Act::Cut(peer) => {
                let peer = &mut next.peers[peer];
                (peer.up && !peer.cut).then(|| peer.cut = true)
            }
            Act::Heal(peer) => {
                let peer = &mut next.peers[peer];
                peer.cut.then(|| peer.cut = false)
            }
        }?;
        self.forget(&mut next);
        (next != *state).then_some(next)
    }

    /// Drops what can make no difference any more: each of these would only fail its check.
    fn forget(&self, state: &mut State) {
        let key = state.key();
        for peer in &mut state.peers {
            peer.watch = peer.watch.filter(|(watched, _)| Some(*watched) == key);
            let stale = |base: &Arc<Operation>| *base != state.op;
            let kept = self.has(Defect::DriverWithoutIndex) || self.has(Defect::EndTwice);
            if !kept && peer.pending.as_ref().is_some_and(|(base, _)| stale(base)) {
                peer.pending = None;
            }
            let kept = self.has(Defect::StartWithoutIndex);
            if !kept && peer.starting.as_ref().is_some_and(|(base, ..)| stale(base)) {
                peer.starting = None;
            }
        }
        let number = state.number;
        state.agents.retain(|agent| {
            let over = matches!(agent.state, AgentState::Ended(_))
                || (agent.state == AgentState::Armed(0) && !self.has(Defect::LateSpawn));
            !over || (agent.session.is_some() && agent.op == number)
        });
        state.agents.sort();
    }

    /// Time passes, as long as nobody has to act first: an agent at its deadline ends before it does.
    fn tick(&self, state: &mut State) -> Option<()> {
        let due = |state: &AgentState| *state == AgentState::Running(0);
        if state.agents.iter().any(|agent| due(&agent.state)) {
            return None;
        }
        for agent in &mut state.agents {
            match &mut agent.state {
                AgentState::Armed(left) => *left = left.saturating_sub(1),
                AgentState::Running(left) => *left -= 1,
                AgentState::Ended(_) => {}
            }
        }
        for peer in &mut state.peers {
            if let Some((.., left)) = &mut peer.starting {
                *left = left.saturating_sub(1);
            }
            if let Some((_, elapsed)) = &mut peer.watch {
                *elapsed = (*elapsed + 1).min(RUN + self.lock_delay());
            }
        }
        state.lock_delay = state.lock_delay.saturating_sub(1);
        if self.has(Defect::WaitByRecord) {
            state.age = (state.age + 1).min(RUN + self.lock_delay());
        }
        Some(())
    }

    fn request(&self, state: &mut State) -> Option<()> {
        let again = !state.active && state.number + 1 < self.requests;
        again.then(|| {
            state.number += 1;
            state.op = request(self, state.number).into();
            state.active = true;
            state.confirmed.clear();
        })
    }

    /// An operator ends the operation.
    fn cancel(&self, state: &mut State) -> Option<()> {
        let may = may_end(&state.op) || self.has(Defect::OperatorAnytime);
        if !may || !state.active {
            return None;
        }
        let mut op = (*state.op).clone();
        op.phase = Phase::Ended(End {
            outcome: Outcome::Cancelled,
            detail: String::new(),
            at: UnixMillis(0),
        });
        state.op = op.into();
        state.active = false;
        Some(())
    }

    fn spawn(&self, state: &mut State, agent: usize) -> Option<()> {
        let agent = &mut state.agents[agent];
        let AgentState::Armed(left) = agent.state else {
            return None;
        };
        (left > 0 || self.has(Defect::LateSpawn)).then(|| agent.state = AgentState::Running(RUN))
    }

    /// Nothing is spawned: the answer of **start** was lost, or came too late.
    fn discard(&self, state: &mut State, agent: usize) -> Option<()> {
        let steps = self.steps(state, agent);
        let agent = &mut state.agents[agent];
        if !matches!(agent.state, AgentState::Armed(_)) {
            return None;
        }
        agent.state = AgentState::Ended(vec![ResultOrd(RunResult::Refused); steps]);
        Some(())
    }

    /// The agent ends. One of several steps at once may be a success when another is not.
    fn agent_ends(&self, state: &mut State, agent: usize, success: bool) -> Option<()> {
        let steps = self.steps(state, agent);
        let agent = &mut state.agents[agent];
        if !matches!(agent.state, AgentState::Running(_)) {
            return None;
        }
        let last = if success {
            RunResult::Success
        } else {
            RunResult::NotAcknowledged
        };
        let mut results = vec![ResultOrd(RunResult::Success); steps];
        *results.last_mut()? = ResultOrd(last);
        agent.state = AgentState::Ended(results);
        Some(())
    }

    fn steps(&self, state: &State, agent: usize) -> usize {
        let attempt = state.op.attempts.get(state.agents[agent].attempt);
        attempt.map_or(1, |attempt| attempt.steps.len())
    }
}

/// The daemon is gone. Its agents are not: the guard ends them, but nobody waits for that here.
fn crash(state: &mut State, at: usize) -> Option<()> {
    let peer = &mut state.peers[at];
    if !peer.up {
        return None;
    }
    peer.up = false;
    peer.cut = false;
    peer.own = false;
    peer.watch = None;
    peer.starting = None;
    peer.pending = None;
    for agent in &mut state.agents {
        if agent.peer == at {
            agent.session = None;
        }
    }
    state
        .agents
        .retain(|agent| agent.session.is_some() || !matches!(agent.state, AgentState::Ended(_)));
    Some(())
}

fn restart(state: &mut State, peer: usize) -> Option<()> {
    let peer = &mut state.peers[peer];
    (!peer.up).then(|| peer.up = true)
}

fn new_session(state: &mut State, peer: usize) -> Option<()> {
    let peer = &mut state.peers[peer];
    if !peer.up || peer.cut || peer.alive {
        return None;
    }
    peer.alive = true;
    peer.own = true;
    peer.number += 1;
    Some(())
}
