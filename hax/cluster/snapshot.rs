//! The HA state of every object at one moment (5/HAX, NVEC GET).

use std::collections::HashMap;
use std::sync::Arc;

use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};

use super::{ConfTree, ProcessTable};

/// What Consul's checks say is failing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failing {
    /// Processes with a critical check, and the Raft index of the newest one.
    pub processes: HashMap<Fid, u64>,
    /// Nodes whose `serfHealth` is critical, by name, and the Raft index of that check.
    pub nodes: HashMap<String, u64>,
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
        let lost = &self.failing.nodes;
        if !lost.is_empty()
            && self
                .tree
                .nodes_of(process)
                .any(|node| lost.contains_key(node))
        {
            return true;
        }
        let Some(index) = self.failing.processes.get(&process) else {
            return false;
        };
        let up_since = self.processes.up_since(process);
        up_since.is_none_or(|up| up < *index)
    }

    fn stored(&self, object: Fid) -> Option<HaState> {
        match self.tree.stored_state(object)? {
            HaState::Unknown => Some(HaState::Online),
            state => Some(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IOS: &str = "0x7200000000000001:0x2";
    const IOS_SERVICE: &str = "0x7300000000000001:0x5";

    fn fid(text: &str) -> Fid {
        text.parse().unwrap()
    }

    fn snapshot(state: Option<(&str, &str)>, stored: &str) -> Snapshot {
        let key = format!("m0conf/nodes/0x6e00000000000001:0x0/processes/{IOS}");
        let value = format!(r#"{{"name":"m0_server","state":"{stored}"}}"#);
        let pairs = [
            ("m0conf/nodes/ssu1/processes/2/services/ios", "5"),
            (key.as_str(), value.as_str()),
        ];
        let tree = ConfTree::parse(pairs.iter().map(|(key, value)| (*key, value.as_bytes())));
        let status = state.map(|(event, kind)| {
            let prefix = "M0_CONF_HA_PROCESS_";
            format!(r#"{{"state":"{prefix}{event}","type":"{prefix}{kind}"}}"#)
        });
        let key = format!("processes/{IOS}");
        let entry = status
            .iter()
            .map(|status| (key.as_str(), status.as_bytes(), 100));
        Snapshot {
            tree: Arc::new(tree),
            processes: Arc::new(ProcessTable::parse(entry)),
            failing: Arc::default(),
        }
    }

    fn failing(mut snapshot: Snapshot, index: u64) -> Snapshot {
        let processes = HashMap::from([(fid(IOS), index)]);
        snapshot.failing = Arc::new(Failing {
            processes,
            nodes: HashMap::new(),
        });
        snapshot
    }

    #[test]
    fn the_word_of_a_process_decides_for_it_and_its_services() {
        let unknown = "M0_NC_UNKNOWN";
        for (status, stored, expected) in [
            (Some(("STARTED", "M0D")), unknown, HaState::Online),
            (Some(("DTM_RECOVERED", "M0D")), unknown, HaState::Online),
            (Some(("STARTING", "M0D")), unknown, HaState::Online),
            (Some(("STOPPING", "M0D")), unknown, HaState::Online),
            (Some(("STOPPED", "M0D")), unknown, HaState::Failed),
            (Some(("STOPPED", "OTHER")), unknown, HaState::Failed),
            (Some(("STOPPED", "M0MKFS")), unknown, HaState::Online),
            (Some(("STOPPED", "M0MKFS")), "M0_NC_FAILED", HaState::Failed),
            (Some(("STARTED", "M0D")), "M0_NC_FAILED", HaState::Online),
            (None, unknown, HaState::Online),
            (None, "M0_NC_FAILED", HaState::Failed),
            (None, "M0_NC_TRANSIENT", HaState::Transient),
        ] {
            let snapshot = snapshot(status, stored);
            let case = format!("{status:?} {stored}");
            assert_eq!(snapshot.state_of(fid(IOS)), Some(expected), "{case}");
            assert_eq!(
                snapshot.state_of(fid(IOS_SERVICE)),
                Some(expected),
                "{case}"
            );
        }
    }

    #[test]
    fn a_critical_check_counts_unless_the_process_spoke_later() {
        let started = || snapshot(Some(("STARTED", "M0D")), "M0_NC_UNKNOWN");
        assert_eq!(
            failing(started(), 101).state_of(fid(IOS)),
            Some(HaState::Failed)
        );
        assert_eq!(
            failing(started(), 99).state_of(fid(IOS)),
            Some(HaState::Online)
        );
        let starting = snapshot(Some(("STARTING", "M0D")), "M0_NC_UNKNOWN");
        assert_eq!(
            failing(starting, 99).state_of(fid(IOS)),
            Some(HaState::Failed)
        );
    }

    #[test]
    fn a_lost_node_fails_its_processes() {
        let mut snapshot = snapshot(Some(("STARTED", "M0D")), "M0_NC_UNKNOWN");
        let nodes = HashMap::from([("ssu1".to_owned(), 9)]);
        snapshot.failing = Arc::new(Failing {
            processes: HashMap::new(),
            nodes,
        });
        assert_eq!(snapshot.state_of(fid(IOS)), Some(HaState::Failed));
        assert_eq!(snapshot.state_of(fid(IOS_SERVICE)), Some(HaState::Failed));
    }

    #[test]
    fn nothing_is_known_of_what_nobody_names() {
        let snapshot = snapshot(None, "M0_NC_UNKNOWN");
        for object in [
            "0x7200000000000001:0x9",
            "0x7300000000000001:0x9",
            "0x6400000000000001:0x1",
        ] {
            assert_eq!(snapshot.state_of(fid(object)), None, "{object}");
        }
    }
}
