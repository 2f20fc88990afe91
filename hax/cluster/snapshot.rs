//! The HA state of every object at one moment (5/HAX, NVEC GET).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};

use super::{ConfTree, ProcessTable};

/// What Consul's checks say is failing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failing {
    /// Processes with a critical check, and the Raft index of the newest one.
    pub processes: HashMap<Fid, u64>,
    /// Nodes whose `serfHealth` is critical, by name.
    pub nodes: HashSet<String>,
}

/// Everything that decides the state of an object.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// `m0conf/`.
    pub tree: Arc<ConfTree>,
    /// `processes/`.
    pub processes: Arc<ProcessTable>,
    /// Critical checks.
    pub failing: Arc<Failing>,
}

impl Snapshot {
    /// The state of an object; `None` if nothing is known of it.
    pub fn state_of(&self, object: Fid) -> Option<HaState> {
        match object.fid_type() {
            Some(FidType::Process) => self.state_of_process(object),
            Some(FidType::Service) => match self.tree.process_of(object) {
                Some(process) => self.state_of_process(process).or(Some(HaState::Online)),
                None => self.stored(object),
            },
            _ => self.stored(object),
        }
    }

    fn state_of_process(&self, process: Fid) -> Option<HaState> {
        if self.is_failing(process) {
            return Some(HaState::Failed);
        }
        match self.processes.get(process) {
            // m0mkfs stops when it has done its work; that says nothing of the m0d to come.
            Some(status)
                if status.state == ProcessEvent::Stopped && status.kind == ProcessType::M0mkfs =>
            {
                self.stored(process).or(Some(HaState::Online))
            }
            Some(status) if status.state == ProcessEvent::Stopped => Some(HaState::Failed),
            Some(_) => Some(HaState::Online),
            None => self.stored(process),
        }
    }

    fn is_failing(&self, process: Fid) -> bool {
        let node_lost =
            self.failing.nodes.iter().any(|node| self.tree.processes_on(node).contains(&process));
        let up_since = self.processes.up_since(process);
        let check = self.failing.processes.get(&process);
        node_lost || check.is_some_and(|index| up_since.is_none_or(|up| up < *index))
    }

    fn stored(&self, object: Fid) -> Option<HaState> {
        match self.tree.stored_state(object)? {
            HaState::Unknown => Some(HaState::Online),
            state => Some(state),
        }
    }
}
