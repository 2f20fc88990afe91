//! What fencing says of processes, as plain data for those who tell Motr (`rfc/12-fencing.md`).
//!
//! The bridge consults it and knows nothing of where it comes from. By default fencing is off, and
//! every state is told as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use halink::{Fid, FidType, HaState, ProcessEvent, ProcessType};
use tokio::sync::watch;

use crate::cluster::{ConfTree, Snapshot};

/// Isolated processes that are remembered; more are not fenced by this way.
const ISOLATED_MAX: usize = 4_096;

/// That a fence has confirmed that a process has ended or been cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// Index of the last word that this is about: a process that has spoken after it is another one.
    pub word: u64,
    /// The operation.
    pub op: String,
}

/// Operations that are over and are remembered, at most.
const OVER_MAX: usize = 4_096;

/// What is known of fences at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Fencing is configured: FAILED has to be confirmed.
    pub enabled: bool,
    /// Consul has said what is stored under `fence/`. Before that nothing is confirmed, and this
    /// node may be fenced.
    pub known: bool,
    /// Processes that are confirmed.
    pub confirmed: HashMap<Fid, Confirmed>,
    /// Processes of this node that have been started anew after the operation of that number had
    /// confirmed them: it is not about them any more. Kept until another one is.
    pub over: BTreeMap<Fid, String>,
    /// Nodes that are fenced, by their names in Consul.
    pub fenced: BTreeSet<String>,
    /// This node is fenced.
    pub own_fenced: bool,
    /// Processes of this node that have sent a fatal message, and have not been started anew.
    pub isolated: BTreeSet<Fid>,
    /// The watchdog of this node has acted, and has not seen since that the node may go on.
    pub stopped: bool,
}

impl Verdicts {
    /// Whether a fence has confirmed that a process has ended or been cut off.
    pub fn is_confirmed(&self, process: Fid, view: &Snapshot) -> bool {
        let confirmed = self.confirmed.get(&process);
        self.enabled
            && (confirmed.is_some_and(|confirmed| view.processes.index(process) <= confirmed.word)
                || !self.fenced.is_empty()
                    && view
                        .tree
                        .nodes_of(process)
                        .any(|node| self.fenced.contains(node)))
    }

    /// What Motr is told of an object where `told` would be told without fencing. Only processes and
    /// their services are fenced, and never the bridge's `own` process, which runs this code.
    pub fn state(&self, object: Fid, told: HaState, view: &Snapshot, own: Fid) -> HaState {
        if !self.enabled {
            return told;
        }
        match process_of(object, &view.tree).filter(|process| *process != own) {
            Some(process) if self.is_confirmed(process, view) => HaState::Failed,
            Some(process) if told == HaState::Failed && !has_stopped(process, view) => {
                HaState::Transient
            }
            Some(process) if told == HaState::Online && self.isolated.contains(&process) => {
                HaState::Transient
            }
            _ => told,
        }
    }

    /// Why no process of this node may start, if so.
    pub fn closed(&self) -> Option<&'static str> {
        match self {
            Self { enabled: false, .. } => None,
            Self { stopped: true, .. } => Some("the watchdog has stopped this node's processes"),
            Self { known: false, .. } => Some("it is not known yet whether this node is fenced"),
            Self {
                own_fenced: true, ..
            } => Some("this node is fenced"),
            _ => None,
        }
    }
}

/// The process that an object is, or belongs to as a service.
fn process_of(object: Fid, tree: &ConfTree) -> Option<Fid> {
    match object.fid_type() {
        Some(FidType::Process) => Some(object),
        Some(FidType::Service) => tree.process_of(object),
        _ => None,
    }
}

/// Whether the last word of a process is that it has stopped. That of m0mkfs says nothing of the m0d
/// that is to come.
pub(super) fn has_stopped(process: Fid, view: &Snapshot) -> bool {
    view.processes.get(process).is_some_and(|status| {
        status.state == ProcessEvent::Stopped && status.kind != ProcessType::M0mkfs
    })
}

/// The present verdicts, shared by all who have to know. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedVerdicts(watch::Sender<Arc<Verdicts>>);

impl Default for SharedVerdicts {
    fn default() -> Self {
        Self::new(false)
    }
}

impl SharedVerdicts {
    /// Nothing is known yet; `enabled`: fencing is configured.
    pub fn new(enabled: bool) -> Self {
        Self(watch::Sender::new(Arc::new(Verdicts {
            enabled,
            ..Verdicts::default()
        })))
    }

    /// The verdicts as they are now.
    pub fn now(&self) -> Arc<Verdicts> {
        Arc::clone(&self.0.borrow())
    }

    /// Told whenever they change.
    pub fn changes(&self) -> watch::Receiver<Arc<Verdicts>> {
        self.0.subscribe()
    }

    /// Changes them. Returns whether anything has changed.
    pub fn update(&self, change: impl FnOnce(&mut Verdicts)) -> bool {
        self.0.send_if_modified(|verdicts| {
            let mut changed = Verdicts::clone(verdicts);
            change(&mut changed);
            let differs = changed != **verdicts;
            if differs {
                *verdicts = Arc::new(changed);
            }
            differs
        })
    }

    /// A process of this node is isolated: it has sent a fatal message.
    pub fn isolate(&self, process: Fid) {
        self.update(|verdicts| {
            if verdicts.enabled && verdicts.isolated.len() < ISOLATED_MAX {
                verdicts.isolated.insert(process);
            }
        });
    }

    /// A new incarnation of a process asks for its entrypoint. What was confirmed was about the one
    /// before, also if this one says the very same word, which has no new index then.
    pub fn reborn(&self, process: Fid) {
        let concerned = {
            let now = self.0.borrow();
            now.isolated.contains(&process) || now.confirmed.contains_key(&process)
        };
        if !concerned {
            return;
        }
        self.update(|verdicts| {
            verdicts.isolated.remove(&process);
            if let Some(confirmed) = verdicts.confirmed.remove(&process) {
                verdicts.over.insert(process, confirmed.op);
            }
        });
    }

    /// An operation says nothing of a process of this node any more: it has been started anew.
    pub fn is_over(&self, process: Fid, op: String) {
        self.update(|verdicts| {
            if verdicts.over.len() < OVER_MAX {
                verdicts.over.insert(process, op);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ProcessTable;

    const OWN: Fid = Fid::typed(FidType::Process, 1, 0);
    const IOS: Fid = Fid::typed(FidType::Process, 1, 2);
    const SERVICE: Fid = Fid::typed(FidType::Service, 1, 5);
    const DRIVE: Fid = Fid::typed(FidType::Drive, 1, 5);

    /// IOS on node `n` has said this at index 100.
    fn view(event: &str, kind: &str) -> Snapshot {
        let conf = [
            ("m0conf/nodes/n/processes/2/services/ios", "5"),
            ("m0conf/nodes/n/processes/0/services/ha", "0"),
        ];
        let prefix = "M0_CONF_HA_PROCESS_";
        let status = format!(r#"{{"state":"{prefix}{event}","type":"{prefix}{kind}"}}"#);
        let key = format!("processes/{IOS}");
        let table = [(key.as_str(), status.as_bytes(), 100)];
        Snapshot {
            tree: Arc::new(ConfTree::parse(conf.map(|(k, v)| (k, v.as_bytes())))),
            processes: Arc::new(ProcessTable::parse(table)),
            failing: Arc::default(),
        }
    }

    fn on() -> Verdicts {
        Verdicts {
            enabled: true,
            known: true,
            ..Verdicts::default()
        }
    }

    fn by(op: &str, word: u64) -> Confirmed {
        let op = op.to_owned();
        Confirmed { word, op }
    }

    #[test]
    fn what_was_confirmed_is_over_when_the_process_is_started_anew() {
        let shared = SharedVerdicts::new(true);
        shared.update(|verdicts| _ = verdicts.confirmed.insert(IOS, by("1", 100)));
        // The same word has the same index.
        let view = view("STARTED", "M0D");
        assert!(shared.now().is_confirmed(IOS, &view));
        shared.reborn(IOS);
        assert!(!shared.now().is_confirmed(IOS, &view));
        assert_eq!(shared.now().over.get(&IOS).unwrap(), "1");
    }

    #[test]
    fn without_fencing_nothing_changes() {
        let off = Verdicts {
            confirmed: HashMap::from([(IOS, by("1", 100))]),
            fenced: BTreeSet::from(["n".to_owned()]),
            own_fenced: true,
            ..Verdicts::default()
        };
        for told in [HaState::Online, HaState::Failed, HaState::Transient] {
            assert_eq!(off.state(IOS, told, &view("STARTED", "M0D"), OWN), told);
        }
        assert_eq!(off.closed(), None);
    }

    #[test]
    fn failed_is_told_when_it_is_confirmed() {
        let confirmed = |word| Verdicts {
            confirmed: HashMap::from([(IOS, by("1", word))]),
            ..on()
        };
        let fenced = Verdicts {
            fenced: BTreeSet::from(["n".to_owned()]),
            ..on()
        };
        let started = view("STARTED", "M0D");
        let (failed, transient, online) = (HaState::Failed, HaState::Transient, HaState::Online);
        for (why, verdicts, view, told, expected) in [
            ("not confirmed", &on(), &started, failed, transient),
            ("online", &on(), &started, online, online),
            ("confirmed", &confirmed(100), &started, failed, failed),
            (
                "whatever checks say",
                &confirmed(100),
                &started,
                online,
                failed,
            ),
            (
                "has spoken since",
                &confirmed(99),
                &started,
                failed,
                transient,
            ),
            ("alive again", &confirmed(99), &started, online, online),
            ("fenced", &fenced, &started, online, failed),
            ("stopped", &on(), &view("STOPPED", "M0D"), failed, failed),
            (
                "mkfs has stopped",
                &on(),
                &view("STOPPED", "M0MKFS"),
                failed,
                transient,
            ),
        ] {
            for object in [IOS, SERVICE] {
                let state = verdicts.state(object, told, view, OWN);
                assert_eq!(state, expected, "{why}: {object}");
            }
            for object in [DRIVE, OWN] {
                assert_eq!(verdicts.state(object, told, view, OWN), told, "{why}");
            }
        }
    }

    #[test]
    fn a_node_is_closed_until_it_is_known_not_to_be_fenced() {
        let open = |change: fn(&mut Verdicts)| {
            let mut verdicts = on();
            change(&mut verdicts);
            verdicts.closed().is_none()
        };
        assert!(open(|_| {}));
        assert!(!open(|verdicts| verdicts.known = false));
        assert!(!open(|verdicts| verdicts.own_fenced = true));
        assert!(!open(|verdicts| verdicts.stopped = true));
        assert!(open(
            |verdicts| _ = verdicts.fenced.insert("other".to_owned())
        ));
    }

    #[test]
    fn an_isolated_process_is_one_until_it_is_reborn() {
        let shared = SharedVerdicts::new(true);
        let view = view("STARTED", "M0D");
        let told = || shared.now().state(IOS, HaState::Online, &view, OWN);
        shared.isolate(IOS);
        assert_eq!(told(), HaState::Transient);
        let mut changes = shared.changes();
        shared.isolate(IOS);
        assert!(!changes.has_changed().unwrap());
        shared.reborn(IOS);
        assert!(changes.borrow_and_update().isolated.is_empty());
        assert_eq!(told(), HaState::Online);
    }
}
