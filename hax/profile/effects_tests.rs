use std::collections::HashMap;

use consul_client::{CheckStatus, Index, TxnOp};
use halink::FidType;

use super::*;
use crate::cluster::{ProcessTable, process};
use crate::profile::tests::small_tree;
use crate::profile::{Found, is_lost, operations, transactions};

const OWN: u64 = 0;
const CONFD: u64 = 1;
const IOS: u64 = 2;
const CLIENT: u64 = 3;

fn fid(fid_type: FidType, key: u64) -> Fid {
    Fid::typed(fid_type, 1, key)
}

fn process_fid(key: u64) -> Fid {
    fid(FidType::Process, key)
}

/// What is stored of the objects of a tree, as bytes and indices, and changed by operations.
struct Store {
    tree: ConfTree,
    found: HashMap<Fid, Found>,
}

impl Store {
    fn new() -> Self {
        let (tree, pairs) = small_tree();
        Self::of(tree, &pairs)
    }

    fn of(tree: ConfTree, pairs: &[(String, String)]) -> Self {
        let object = |(n, (key, value)): (usize, &(String, String))| {
            let object: Fid = key.rsplit('/').next()?.parse().ok()?;
            let index = Index(n as u64 + 1);
            let value = value.clone().into_bytes();
            Some((object, Found { value, index }))
        };
        let found = pairs.iter().enumerate().filter_map(object).collect();
        Self { tree, found }
    }

    fn set(&mut self, object: Fid, state: &str) {
        let found = self.found.get_mut(&object).unwrap();
        found.value = format!(r#"{{"name": "x", "state": "{state}"}}"#).into_bytes();
    }

    fn state(&self, object: Fid) -> String {
        let value: serde_json::Value = serde_json::from_slice(&self.found[&object].value).unwrap();
        value["state"].as_str().unwrap().to_owned()
    }

    fn effects(&self, key: u64, event: ProcessEvent, kind: ProcessType) -> Effects {
        let stored = |object| self.found.get(&object).map(Found::state);
        let status = StoredStatus {
            state: event,
            kind: kind.into(),
        };
        effects(
            &self.tree,
            stored,
            process_fid(OWN),
            process_fid(key),
            status,
        )
    }

    /// Applies what an event changes, and returns it.
    fn event(&mut self, key: u64, event: ProcessEvent, kind: ProcessType) -> Effects {
        let effects = self.effects(key, event, kind);
        self.apply(&effects);
        effects
    }

    fn apply(&mut self, effects: &Effects) -> Vec<TxnOp> {
        let (ops, refused) = operations(effects, self.tree.relations(), &self.found);
        assert!(refused.is_empty(), "{refused:?}");
        for op in &ops {
            if let TxnOp::Cas {
                key, value, index, ..
            } = op
            {
                let object: Fid = key.rsplit('/').next().unwrap().parse().unwrap();
                let found = self.found.get_mut(&object).unwrap();
                assert_eq!(found.index, *index);
                found.value = value.clone();
            }
        }
        ops
    }

    fn services(&self, key: u64) -> Vec<Fid> {
        self.tree.services_of(process_fid(key)).to_vec()
    }

    fn unchanged(&self) -> bool {
        let (_, pairs) = small_tree();
        let before = Self::of(ConfTree::default(), &pairs);
        before
            .found
            .iter()
            .all(|(object, found)| self.found[object].value == found.value)
    }
}

/// The drives and sdevs of the ios on the first node.
const DEVICES: [u64; 6] = [0, 1, 2, 3, 4, 15];

fn told(effects: &Effects) -> Vec<(Fid, HaState)> {
    effects
        .notes
        .iter()
        .map(|note| (note.object, note.state))
        .collect()
}

fn expected(
    store: &Store,
    key: u64,
    state: HaState,
    drives: Option<HaState>,
    above: &[FidType],
) -> Vec<(Fid, HaState)> {
    let services = store
        .services(key)
        .into_iter()
        .map(|service| (service, state));
    let drives = drives
        .into_iter()
        .flat_map(|state| DEVICES.map(|key| (fid(FidType::Drive, key), state)));
    let above = above.iter().map(|fid_type| (fid(*fid_type, 0), state));
    [(process_fid(key), state)]
        .into_iter()
        .chain(services)
        .chain(drives)
        .chain(above)
        .collect()
}

const CNE: [FidType; 3] = [FidType::Controller, FidType::Node, FidType::Enclosure];
const NE: [FidType; 2] = [FidType::Node, FidType::Enclosure];

use ProcessEvent::{DtmRecovered, Started, Starting, Stopped, Stopping};
use ProcessType::{Kernel, M0d, M0mkfs, Other};

#[test]
fn starting_and_stopping_are_written_as_they_are() {
    for kind in ProcessType::ALL {
        for event in [Starting, Stopping] {
            for key in [CONFD, IOS, CLIENT] {
                let mut store = Store::new();
                let effects = store.event(key, event, *kind);
                let status = StoredStatus {
                    state: event,
                    kind: (*kind).into(),
                };
                assert_eq!(effects, Effects::silent(status));
                assert!(store.unchanged());
            }
        }
    }
}

#[test]
fn an_ios_that_has_started_recovers_and_its_drives_are_online() {
    let mut store = Store::new();
    let effects = store.event(IOS, Started, M0d);
    assert_eq!(
        effects.status,
        StoredStatus {
            state: Started,
            kind: M0d.into()
        }
    );
    assert_eq!(effects.to, Audience::Everyone);
    let drives = Some(HaState::Online);
    assert_eq!(
        told(&effects),
        expected(&store, IOS, HaState::DtmRecovering, drives, &CNE)
    );
    assert_eq!(store.state(process_fid(IOS)), "dtm_recovering");
    for service in store.services(IOS) {
        assert_eq!(store.state(service), "dtm_recovering");
    }
    for key in DEVICES {
        assert_eq!(store.state(fid(FidType::Sdev, key)), "dtm_recovering");
        assert_eq!(store.state(fid(FidType::Drive, key)), "M0_NC_UNKNOWN");
    }
    for fid_type in CNE {
        assert_eq!(store.state(fid(fid_type, 0)), "M0_NC_DTM_RECOVERING");
        assert_eq!(store.state(fid(fid_type, 1)), "M0_NC_UNKNOWN");
    }
}

#[test]
fn a_client_that_has_started_recovers_and_has_no_controller() {
    let mut store = Store::new();
    let effects = store.event(CLIENT, Started, Other);
    assert_eq!(
        effects.status,
        StoredStatus {
            state: Started,
            kind: Other.into()
        }
    );
    assert_eq!(
        told(&effects),
        expected(&store, CLIENT, HaState::DtmRecovering, None, &NE)
    );
    assert_eq!(
        store.services(CLIENT).len(),
        4,
        "its own type is told, and is no object"
    );
    assert_eq!(store.state(process_fid(CLIENT)), "dtm_recovering");
    assert_eq!(store.state(fid(FidType::Node, 0)), "M0_NC_DTM_RECOVERING");
}

#[test]
fn a_confd_that_has_started_is_online_at_once() {
    let mut store = Store::new();
    let effects = store.event(CONFD, Started, M0d);
    assert_eq!(
        effects.status,
        StoredStatus {
            state: DtmRecovered,
            kind: M0d.into()
        }
    );
    assert_eq!(effects.to, Audience::Everyone);
    assert_eq!(
        told(&effects),
        expected(&store, CONFD, HaState::Online, None, &NE)
    );
    assert_eq!(store.state(process_fid(CONFD)), "online");
    assert_eq!(store.state(fid(FidType::Node, 0)), "M0_NC_ONLINE");
    assert_eq!(store.state(fid(FidType::Controller, 0)), "M0_NC_UNKNOWN");
    // Its type decides too.
    let other = store.effects(CONFD, Started, Other);
    assert_eq!(other.status.state, Started);
}

#[test]
fn what_has_recovered_is_online_with_all_that_is_around_it() {
    let mut store = Store::new();
    store.event(IOS, Started, M0d);
    let effects = store.event(IOS, DtmRecovered, M0d);
    assert_eq!(
        effects.status,
        StoredStatus {
            state: DtmRecovered,
            kind: M0d.into()
        }
    );
    let drives = Some(HaState::Online);
    assert_eq!(
        told(&effects),
        expected(&store, IOS, HaState::Online, drives, &CNE)
    );
    assert_eq!(store.state(process_fid(IOS)), "online");
    for key in DEVICES {
        assert_eq!(store.state(fid(FidType::Sdev, key)), "online");
    }
    for fid_type in CNE {
        assert_eq!(store.state(fid(fid_type, 0)), "M0_NC_ONLINE");
    }
}

#[test]
fn the_only_ios_of_a_node_takes_the_node_with_it() {
    let mut store = Store::new();
    store.event(IOS, DtmRecovered, M0d);
    let effects = store.event(IOS, Stopped, M0d);
    assert_eq!(
        effects.status,
        StoredStatus {
            state: Stopped,
            kind: M0d.into()
        }
    );
    let drives = Some(HaState::Transient);
    assert_eq!(
        told(&effects),
        expected(&store, IOS, HaState::Failed, drives, &CNE)
    );
    assert_eq!(store.state(process_fid(IOS)), "failed");
    for key in DEVICES {
        assert_eq!(store.state(fid(FidType::Sdev, key)), "offline");
    }
    for fid_type in CNE {
        assert_eq!(store.state(fid(fid_type, 0)), "M0_NC_FAILED");
    }
}

#[test]
fn a_node_fails_only_with_the_last_ios_on_it() {
    for (ios, fails) in [
        ("stopped", true),
        ("failed", true),
        ("offline", true),
        ("online", false),
        ("dtm_recovering", false),
        ("M0_NC_UNKNOWN", false),
    ] {
        let mut store = Store::new();
        store.set(process_fid(IOS), ios);
        for key in [CONFD, CLIENT] {
            let effects = store.event(key, Stopped, M0d);
            let above: &[FidType] = if fails { &NE } else { &[] };
            let notes = expected(&store, key, HaState::Failed, None, above);
            assert_eq!(told(&effects), notes, "{ios}");
            assert_eq!(effects.relies_on, [process_fid(IOS)]);
        }
        let node = if fails {
            "M0_NC_FAILED"
        } else {
            "M0_NC_UNKNOWN"
        };
        for fid_type in NE {
            assert_eq!(store.state(fid(fid_type, 0)), node, "{ios}");
        }
    }
}

#[test]
fn what_decided_about_the_node_is_checked_in_the_same_transaction() {
    let mut store = Store::new();
    let effects = store.effects(CONFD, Stopped, M0d);
    let ops = store.apply(&effects);
    let ios = &store.found[&process_fid(IOS)];
    let key = store.tree.relations().key(process_fid(IOS)).unwrap();
    assert!(ops.contains(&TxnOp::check_index(key, ios.index)));
    assert!(effects.reads.contains(&process_fid(IOS)));
    assert!(effects.reads.contains(&fid(FidType::Node, 0)));
}

#[test]
fn drives_that_fail_or_are_repaired_keep_their_state_and_are_told_it() {
    for (stored, state) in [
        ("failed", HaState::Failed),
        ("repairing", HaState::Repair),
        ("repaired", HaState::Repaired),
        ("rebalancing", HaState::Rebalance),
    ] {
        for event in [Started, DtmRecovered, Stopped] {
            let mut store = Store::new();
            let sdev = fid(FidType::Sdev, 2);
            store.set(sdev, stored);
            let effects = store.event(IOS, event, M0d);
            assert_eq!(store.state(sdev), stored, "{event}");
            let drive = fid(FidType::Drive, 2);
            assert!(told(&effects).contains(&(drive, state)), "{event} {stored}");
            assert_ne!(store.state(fid(FidType::Sdev, 3)), "M0_NC_UNKNOWN");
        }
    }
}

#[test]
fn m0mkfs_is_told_to_the_own_link_only() {
    for (event, state) in [(Started, HaState::Online), (Stopped, HaState::Failed)] {
        let mut store = Store::new();
        let effects = store.event(IOS, event, M0mkfs);
        assert_eq!(
            effects.status,
            StoredStatus {
                state: event,
                kind: M0mkfs.into()
            }
        );
        assert_eq!(told(&effects), [(process_fid(IOS), state)]);
        assert_eq!(effects.to, Audience::OwnLink);
        assert!(store.unchanged());
    }
}

#[test]
fn the_bridge_itself_is_of_type_ha_and_recovered() {
    for event in [Started, Stopped, DtmRecovered] {
        let mut store = Store::new();
        let effects = store.event(OWN, event, M0d);
        let kind = StoredType::BRIDGE;
        assert_eq!(
            effects.status,
            StoredStatus {
                state: DtmRecovered,
                kind
            }
        );
        assert_eq!(
            effects.status.to_json(),
            r#"{"state":"M0_CONF_HA_PROCESS_DTM_RECOVERED","type":"M0_CONF_HA_PROCESS_HA"}"#
        );
        assert_eq!(told(&effects), [(process_fid(OWN), HaState::Online)]);
        assert_eq!(effects.to, Audience::OwnLink);
        assert!(store.unchanged());
    }
    let starting = Store::new().effects(OWN, Starting, M0d);
    let kind = StoredType::BRIDGE;
    assert_eq!(
        starting,
        Effects::silent(StoredStatus {
            state: Starting,
            kind
        })
    );
}

/// Hare loses them: an exception in the handler.
#[test]
fn events_that_hare_loses_are_written_as_they_are() {
    for (event, kind) in [
        (Started, Kernel),
        (Stopped, Kernel),
        (DtmRecovered, Kernel),
        (DtmRecovered, M0mkfs),
    ] {
        let mut store = Store::new();
        let effects = store.event(IOS, event, kind);
        let status = StoredStatus {
            state: event,
            kind: kind.into(),
        };
        assert_eq!(effects, Effects::silent(status));
        assert!(store.unchanged());
    }
}

/// Hare tries such an event again for ever, and nothing else is broadcast.
#[test]
fn an_event_of_a_process_outside_the_tree_has_its_status_and_no_more() {
    for event in [Started, DtmRecovered, Stopped] {
        let store = Store::new();
        let effects = store.effects(999, event, M0d);
        assert_eq!(
            effects.status,
            StoredStatus {
                state: event,
                kind: M0d.into()
            }
        );
        assert_eq!((effects.states.len(), effects.reads.len()), (0, 0));
        assert_eq!(effects.notes.len(), 1);
    }
}

#[test]
fn a_value_that_is_not_understood_holds_nothing_up() {
    let mut store = Store::new();
    let broken = fid(FidType::Sdev, 3);
    store.found.get_mut(&broken).unwrap().value = b"rubbish".to_vec();
    let gone = fid(FidType::Sdev, 4);
    store.found.remove(&gone);
    let effects = store.effects(IOS, Started, M0d);
    let (ops, refused) = operations(&effects, store.tree.relations(), &store.found);
    assert_eq!(
        refused
            .iter()
            .map(|(object, _)| *object)
            .collect::<Vec<_>>(),
        [broken]
    );
    assert_eq!(ops.len(), effects.states.len() - 2);
}

#[test]
fn an_event_that_comes_again_changes_nothing_more_and_is_told_again() {
    for event in [Started, DtmRecovered, Stopped] {
        let mut store = Store::new();
        let first = store.event(IOS, event, M0d);
        let again = store.effects(IOS, event, M0d);
        assert_eq!(first, again, "{event}");
        assert_eq!(store.apply(&again), [], "{event}");
    }
}

#[test]
fn a_lost_process_is_offline_with_its_drives() {
    let mut store = Store::new();
    store.event(IOS, DtmRecovered, M0d);
    let status = StoredStatus {
        state: DtmRecovered,
        kind: M0d.into(),
    }
    .to_json();
    let key = process::key(process_fid(IOS));
    let table = ProcessTable::parse([(key.as_str(), status.as_bytes(), 1)]);
    let worst = CheckStatus::Warning;
    let status = is_lost(process_fid(IOS), worst, process_fid(OWN), &table).unwrap();
    let stored = |object| store.found.get(&object).map(Found::state);
    let effects = lost(&store.tree, stored, process_fid(IOS), status);
    assert_eq!(
        effects.status,
        StoredStatus {
            state: Stopped,
            kind: M0d.into()
        }
    );
    let drives = Some(HaState::Transient);
    assert_eq!(
        told(&effects),
        expected(&store, IOS, HaState::Transient, drives, &CNE)
    );
    store.apply(&effects);
    assert_eq!(store.state(process_fid(IOS)), "offline");
    assert_eq!(store.state(fid(FidType::Sdev, 0)), "offline");
    assert_eq!(store.state(fid(FidType::Node, 0)), "M0_NC_TRANSIENT");
}

/// The large tree has 160 drives for an ios and one for its `cas`.
#[test]
fn an_event_takes_one_transaction_and_three_with_161_drives() {
    let (tree, mut pairs) = small_tree();
    let count = |store: &Store| {
        let effects = store.effects(IOS, Started, M0d);
        let (ops, _) = operations(&effects, store.tree.relations(), &store.found);
        let key = process::key(process_fid(IOS));
        let status = vec![TxnOp::cas(key.clone(), "x", Index(1)), TxnOp::set(key, "x")];
        let all = transactions(ops, status);
        all.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(count(&Store::of(tree, &pairs)), [24]);
    let relations = small_tree().0;
    let service = relations.relations().key(fid(FidType::Service, 5)).unwrap();
    let controller = relations
        .relations()
        .key(fid(FidType::Controller, 0))
        .unwrap();
    for key in 1_000..1_155 {
        let (sdev, drive) = (fid(FidType::Sdev, key), fid(FidType::Drive, key));
        let state = "M0_NC_UNKNOWN";
        pairs.push((
            format!("{service}/sdevs/{sdev}"),
            format!(r#"{{"path": "/dev/d", "state": "{state}"}}"#),
        ));
        pairs.push((
            format!("{controller}/drives/{drive}"),
            format!(r#"{{"sdev": "{sdev}", "state": "{state}"}}"#),
        ));
    }
    let tree = ConfTree::parse(
        pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_bytes())),
    );
    let store = Store::of(tree, &pairs);
    assert_eq!(count(&store), [51, 64, 64]);
    // All but drives are in the transaction of the status.
    let effects = store.effects(IOS, Started, M0d);
    let drives = effects
        .states
        .iter()
        .take_while(|change| change.object.fid_type() == Some(FidType::Sdev));
    assert_eq!(drives.count(), 161);
    assert!(effects.states.len() - 161 + 2 <= 64);
}

/// Whatever part of the transactions was committed, the event that comes again makes the rest whole.
#[test]
fn a_crash_between_transactions_heals_when_the_event_comes_again() {
    for event in [Started, DtmRecovered, Stopped] {
        let mut whole = Store::new();
        whole.event(IOS, event, M0d);
        let ops = Store::new().effects(IOS, event, M0d).states.len();
        for committed in 0..=ops {
            let mut store = Store::new();
            let mut part = store.effects(IOS, event, M0d);
            part.states.truncate(committed);
            store.apply(&part);
            let again = store.event(IOS, event, M0d);
            assert_eq!(again, whole.effects(IOS, event, M0d));
            assert_eq!(store.found, whole.found, "{event} after {committed}");
        }
    }
}
