//! What a watch said, as notes (`rfc/5-hax.md`, "Watches → NVEC SET").

use std::collections::{HashMap, HashSet};

use consul_client::CheckStatus;
use halink::{Fid, FidType, HaState, Note};

use super::links::Links;
use super::update::{NodeHealth, ServiceHealth, WatchUpdate};
use super::verdicts::Verdicts;
use crate::cluster::Snapshot;

/// Notes to broadcast: one for each object, in the order in which the objects were first named.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    notes: Vec<Note>,
    place: HashMap<Fid, usize>,
    /// Statuses left out because the process's own word is newer.
    pub outdated: usize,
}

impl Notes {
    /// The notes of an update.
    pub fn of(update: &WatchUpdate, view: &Snapshot, links: &Links) -> Self {
        let mut notes = Self::default();
        match update {
            WatchUpdate::Services(services) => notes.add_services(services, view, links),
            WatchUpdate::Checks {
                services, nodes, ..
            } => {
                notes.add_services(services, view, links);
                notes.add_nodes(nodes, view, links.own_process());
            }
            WatchUpdate::Nodes(_) => {}
            WatchUpdate::KeyPrefix { states, .. } => {
                for (object, state) in states {
                    notes.add(*object, *state);
                }
            }
        }
        notes
    }

    /// What is told of these processes and their services, as the view has them.
    pub fn of_processes(processes: &[Fid], view: &Snapshot) -> Self {
        let mut notes = Self::default();
        for process in processes {
            let state = view.state_of(*process).unwrap_or(HaState::Online);
            notes.add_process(*process, state, view);
        }
        notes
    }

    /// One state of a process and of its services.
    pub fn of_process(process: Fid, state: HaState, view: &Snapshot) -> Self {
        let mut notes = Self::default();
        notes.add_process(process, state, view);
        notes
    }

    /// The state of every process that has reported one or whose check is critical, and of its
    /// services, for a process that is `told`. The bridge's `own` process is alive.
    pub fn of_all(view: &Snapshot, own: Fid, told: Option<Fid>) -> Self {
        let mut notes = Self::default();
        let reported = view.processes.iter().map(|(process, _)| process);
        let failing = view.failing.processes.keys().copied();
        for process in reported.chain(failing) {
            let state = match view.state_of(process) {
                _ if Some(process) == told => None,
                _ if process == own => Some(HaState::Online),
                state => state,
            };
            if let Some(state) = state {
                notes.add_process(process, state, view);
            }
        }
        notes
    }

    /// Notes as Motr sent them.
    pub fn of_motr(notes: impl IntoIterator<Item = Note>) -> Self {
        let mut collected = Self::default();
        for note in notes {
            collected.add(note.object, note.state);
        }
        collected
    }

    /// Says FAILED of every object that is `dead`, whatever the source says, which may not know yet;
    /// and of the others what fences leave of it. `own` is the bridge's own process.
    pub fn rule(&mut self, dead: &HashSet<Fid>, verdicts: &Verdicts, view: &Snapshot, own: Fid) {
        if dead.is_empty() && !verdicts.enabled {
            return;
        }
        for note in &mut self.notes {
            note.state = match dead.contains(&note.object) {
                true => HaState::Failed,
                false => verdicts.state(note.object, note.state, view, own),
            };
        }
    }

    /// The same for what processes have said themselves: that one has stopped needs no fence.
    pub fn rule_words(
        &mut self,
        dead: &HashSet<Fid>,
        verdicts: &Verdicts,
        view: &Snapshot,
        own: Fid,
    ) {
        let said: Vec<HaState> = self.notes.iter().map(|note| note.state).collect();
        self.rule(dead, verdicts, view, own);
        for (note, said) in self.notes.iter_mut().zip(said) {
            if said == HaState::Failed {
                note.state = said;
            }
        }
    }

    /// The notes.
    pub fn as_slice(&self) -> &[Note] {
        &self.notes
    }

    /// The processes among the notes that have failed.
    pub fn failed_processes(&self) -> impl Iterator<Item = Fid> {
        let process = |note: &&Note| note.object.fid_type() == Some(FidType::Process);
        let failed = |note: &&Note| note.state == HaState::Failed;
        self.notes
            .iter()
            .filter(process)
            .filter(failed)
            .map(|note| note.object)
    }

    fn add_services(&mut self, services: &[ServiceHealth], view: &Snapshot, links: &Links) {
        for ServiceHealth {
            process,
            status,
            index,
            ..
        } in services
        {
            let state = state_of(*status);
            if *process == links.own_process() && state != HaState::Online {
                continue;
            }
            // The view follows KV with a delay; of our own processes we know at once.
            let up_since = links
                .up_since(*process)
                .max(view.processes.up_since(*process));
            if state != HaState::Online && up_since.is_some_and(|up| *index < up) {
                self.outdated += 1;
                continue;
            }
            self.add_process(*process, state, view);
        }
    }

    fn add_nodes(&mut self, nodes: &[NodeHealth], view: &Snapshot, own: Fid) {
        let lost = nodes
            .iter()
            .filter(|node| state_of(node.status) == HaState::Failed);
        for process in lost.flat_map(|node| view.tree.processes_on(&node.node)) {
            if *process != own {
                self.add_process(*process, HaState::Failed, view);
            }
        }
    }

    fn add_process(&mut self, process: Fid, state: HaState, view: &Snapshot) {
        self.add(process, state);
        for service in view.tree.services_of(process) {
            self.add(*service, state);
        }
    }

    fn add(&mut self, object: Fid, state: HaState) {
        match self.place.get(&object) {
            Some(place) => {
                let note = &mut self.notes[*place];
                if severity(state) > severity(note.state) {
                    note.state = state;
                }
            }
            None => {
                self.place.insert(object, self.notes.len());
                self.notes.push(Note { object, state });
            }
        }
    }
}

fn state_of(status: CheckStatus) -> HaState {
    match status {
        CheckStatus::Passing => HaState::Online,
        CheckStatus::Warning => HaState::Transient,
        CheckStatus::Critical | CheckStatus::Maintenance => HaState::Failed,
    }
}

fn severity(state: HaState) -> u8 {
    match state {
        HaState::Failed => 2,
        HaState::Online | HaState::Unknown => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ConfTree, ProcessTable};
    use std::sync::Arc;

    const CONTAINER: u64 = 0x7200_0000_0000_0001;

    fn process(key: u64) -> Fid {
        Fid::new(CONTAINER, key)
    }

    fn service(key: u64) -> Fid {
        Fid::typed(FidType::Service, 1, key)
    }

    fn health(key: u64, status: CheckStatus, index: u64) -> ServiceHealth {
        ServiceHealth {
            process: process(key),
            node: "n".to_owned(),
            status,
            index,
        }
    }

    /// Process 1 has services 2 and 3 on node `n`; it reported STARTED at index 100.
    fn view() -> Snapshot {
        let conf = [
            ("m0conf/nodes/n/processes/1/services/rms", "2"),
            ("m0conf/nodes/n/processes/1/services/confd", "3"),
        ];
        let started = r#"{"state":"M0_CONF_HA_PROCESS_STARTED","type":"M0_CONF_HA_PROCESS_M0D"}"#;
        let key = format!("processes/{}", process(1));
        let table = ProcessTable::parse([(key.as_str(), started.as_bytes(), 100)]);
        Snapshot {
            tree: Arc::new(ConfTree::parse(
                conf.map(|(key, value)| (key, value.as_bytes())),
            )),
            processes: Arc::new(table),
            failing: Arc::default(),
        }
    }

    fn of(update: &WatchUpdate) -> Vec<(Fid, HaState)> {
        let notes = Notes::of(update, &view(), &Links::new(process(0)));
        notes
            .as_slice()
            .iter()
            .map(|note| (note.object, note.state))
            .collect()
    }

    #[test]
    fn a_status_is_of_the_process_and_its_services() {
        for (status, state) in [
            (CheckStatus::Passing, HaState::Online),
            (CheckStatus::Warning, HaState::Transient),
            (CheckStatus::Critical, HaState::Failed),
        ] {
            let update = WatchUpdate::Services(vec![health(1, status, 101)]);
            let expected = [
                (process(1), state),
                (service(2), state),
                (service(3), state),
            ];
            assert_eq!(of(&update), expected, "{status:?}");
        }
    }

    #[test]
    fn a_status_older_than_the_process_own_word_is_left_out() {
        for status in [CheckStatus::Warning, CheckStatus::Critical] {
            let update = WatchUpdate::Services(vec![health(1, status, 99)]);
            let notes = Notes::of(&update, &view(), &Links::new(process(0)));
            assert_eq!(
                (notes.as_slice(), notes.outdated),
                (&[][..], 1),
                "{status:?}"
            );
        }
        let passing = WatchUpdate::Services(vec![health(1, CheckStatus::Passing, 99)]);
        assert_eq!(of(&passing).len(), 3);
    }

    #[test]
    fn the_bridge_is_alive_whatever_its_check_says() {
        for status in [CheckStatus::Warning, CheckStatus::Critical] {
            assert_eq!(of(&WatchUpdate::Services(vec![health(0, status, 7)])), []);
        }
        let passing = WatchUpdate::Services(vec![health(0, CheckStatus::Passing, 7)]);
        assert_eq!(of(&passing), [(process(0), HaState::Online)]);
    }

    #[test]
    fn an_object_is_named_once_with_its_worst_state() {
        let update = WatchUpdate::Services(vec![
            health(7, CheckStatus::Passing, 5),
            health(8, CheckStatus::Passing, 5),
            health(7, CheckStatus::Critical, 5),
            health(7, CheckStatus::Warning, 5),
        ]);
        assert_eq!(
            of(&update),
            [(process(7), HaState::Failed), (process(8), HaState::Online)]
        );
    }

    #[test]
    fn the_dead_are_failed_whatever_is_said_of_them() {
        let update = WatchUpdate::Services(vec![
            health(7, CheckStatus::Passing, 5),
            health(1, CheckStatus::Passing, 101),
            health(8, CheckStatus::Warning, 5),
        ]);
        let mut notes = Notes::of(&update, &view(), &Links::new(process(0)));
        let dead = HashSet::from([process(1), service(3), process(9)]);
        notes.rule(&dead, &Verdicts::default(), &view(), process(0));
        let states: Vec<_> = notes
            .as_slice()
            .iter()
            .map(|n| (n.object, n.state))
            .collect();
        let expected = [
            (process(7), HaState::Online),
            (process(1), HaState::Failed),
            (service(2), HaState::Online),
            (service(3), HaState::Failed),
            (process(8), HaState::Transient),
        ];
        assert_eq!(states, expected);
        assert_eq!(notes.failed_processes().collect::<Vec<_>>(), [process(1)]);
    }

    #[test]
    fn a_lost_node_fails_its_processes_and_a_passing_one_says_nothing() {
        let nodes = |status| WatchUpdate::Checks {
            services: vec![],
            nodes: vec![NodeHealth {
                node: "n".to_owned(),
                status,
            }],
            ignored: 0,
        };
        let failed = [process(1), service(2), service(3)].map(|object| (object, HaState::Failed));
        assert_eq!(of(&nodes(CheckStatus::Critical)), failed);
        assert_eq!(of(&nodes(CheckStatus::Passing)), []);
    }
}
