//! What Consul's checks say of a process.

use std::collections::HashMap;

use consul_client::{CheckStatus, HealthCheck, SERF_HEALTH};
use halink::{Fid, HaState, ProcessEvent, ProcessType};

use crate::cluster::{HareState, ProcessTable, StoredStatus, process_of_service_id};

/// Hare's words for how a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Gone.
    Failed,
    /// Serving.
    Ok,
    /// A check does not pass.
    Offline,
    /// Stopped in order.
    Stopped,
    /// Started, and recovering its distributed transactions.
    Recovering,
    /// Nothing is known; nobody is told.
    Unknown,
}

impl Health {
    /// What the status of a check, the worst of a process, says: one that does not pass is enough.
    pub fn of(worst: CheckStatus) -> Self {
        match worst {
            CheckStatus::Passing => Self::Ok,
            CheckStatus::Warning | CheckStatus::Critical | CheckStatus::Maintenance => {
                Self::Offline
            }
        }
    }

    /// What Motr is told; `None`: nothing.
    pub fn ha_state(self) -> Option<HaState> {
        match self {
            Self::Unknown => None,
            other => Some(other.stored().ha_state()),
        }
    }

    /// What is stored of the process.
    pub fn stored(self) -> HareState {
        match self {
            Self::Failed => HareState::Failed,
            Self::Ok => HareState::Online,
            Self::Offline => HareState::Offline,
            Self::Stopped => HareState::Stopped,
            Self::Recovering => HareState::DtmRecovering,
            Self::Unknown => HareState::Unknown,
        }
    }
}

/// Whether a watch that brings `worst` of a process makes it a lost one, and then the status that
/// is to be stored: its type must be known and not be that of m0mkfs, whose check fails when it has
/// done its work; it is not the bridge itself; and it has not said or been said to have stopped.
pub fn is_lost(
    process: Fid,
    worst: CheckStatus,
    own: Fid,
    table: &ProcessTable,
) -> Option<StoredStatus> {
    let known = table.get(process)?;
    let alive = known.state != ProcessEvent::Stopped && known.kind != ProcessType::M0mkfs;
    let lost = Health::of(worst) == Health::Offline && alive && process != own;
    lost.then_some(StoredStatus {
        state: ProcessEvent::Stopped,
        ..known
    })
}

/// The worst check of every process and node, those that pass included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    processes: HashMap<Fid, CheckStatus>,
    nodes: HashMap<String, CheckStatus>,
}

impl Checks {
    /// From the list of all checks (`/v1/health/state/any`).
    pub fn of(checks: &[HealthCheck]) -> Self {
        let mut all = Self::default();
        for check in checks {
            let worst = if let Some(process) = process_of_service_id(&check.service_id) {
                all.processes.entry(process).or_insert(check.status)
            } else if check.check_id == SERF_HEALTH {
                all.nodes.entry(check.node.clone()).or_insert(check.status)
            } else {
                continue;
            };
            *worst = check.status.max(*worst);
        }
        all
    }

    /// Whether a process on a node is there, as far as checks tell: it has one, and it and the
    /// node's pass.
    pub fn pass(&self, process: Fid, node: &str) -> bool {
        let passing = Some(&CheckStatus::Passing);
        self.processes.get(&process) == passing && self.nodes.get(node) == passing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{StoredType, process};
    use halink::FidType;

    const OWN: Fid = Fid::typed(FidType::Process, 1, 0);
    const IOS: Fid = Fid::typed(FidType::Process, 1, 2);

    #[test]
    fn health_is_told_in_motrs_words() {
        for (health, state) in [
            (Health::Failed, Some(HaState::Failed)),
            (Health::Ok, Some(HaState::Online)),
            (Health::Offline, Some(HaState::Transient)),
            (Health::Stopped, Some(HaState::Transient)),
            (Health::Recovering, Some(HaState::DtmRecovering)),
            (Health::Unknown, None),
        ] {
            assert_eq!(health.ha_state(), state, "{health:?}");
        }
    }

    fn table(object: Fid, state: ProcessEvent, kind: StoredType) -> ProcessTable {
        let value = StoredStatus { state, kind }.to_json();
        ProcessTable::parse([(process::key(object).as_str(), value.as_bytes(), 7)])
    }

    #[test]
    fn a_check_that_does_not_pass_makes_a_process_lost_that_was_there() {
        use ProcessEvent::{DtmRecovered, Started, Starting, Stopped, Stopping};
        let m0d = StoredType::from(ProcessType::M0d);
        for state in [Starting, Started, Stopping, DtmRecovered] {
            for worst in [
                CheckStatus::Warning,
                CheckStatus::Critical,
                CheckStatus::Maintenance,
            ] {
                let lost = is_lost(IOS, worst, OWN, &table(IOS, state, m0d));
                let expected = StoredStatus {
                    state: Stopped,
                    kind: m0d,
                };
                assert_eq!(lost, Some(expected), "{state} {worst:?}");
            }
        }
        let critical = CheckStatus::Critical;
        let m0mkfs = StoredType::from(ProcessType::M0mkfs);
        for (why, worst, process, table) in [
            (
                "it passes",
                CheckStatus::Passing,
                IOS,
                table(IOS, Started, m0d),
            ),
            ("unknown", critical, IOS, ProcessTable::default()),
            ("mkfs", critical, IOS, table(IOS, Started, m0mkfs)),
            ("stopped", critical, IOS, table(IOS, Stopped, m0d)),
            (
                "own",
                critical,
                OWN,
                table(OWN, DtmRecovered, StoredType::BRIDGE),
            ),
        ] {
            assert_eq!(is_lost(process, worst, OWN, &table), None, "{why}");
        }
    }
}
