//! What a watch said, as notes (`rfc/5-hax.md`, "Watches → NVEC SET").

use std::collections::HashMap;

use consul_client::CheckStatus;
use halink::{Fid, FidType, HaState, Note};

use super::links::Links;
use super::update::{NodeHealth, ServiceHealth, WatchUpdate};
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

    /// One state of a process and of its services.
    pub fn of_process(process: Fid, state: HaState, view: &Snapshot) -> Self {
        let mut notes = Self::default();
        notes.add_process(process, state, view);
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
