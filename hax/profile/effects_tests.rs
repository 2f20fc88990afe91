use std::collections::HashMap;

use consul_client::{CheckStatus, Index, TxnOp};
use halink::FidType;

use super::*;
use crate::cluster::{ProcessTable, process};
use crate::profile::tests::small_tree;
use crate::profile::{Found, is_lost, operations, transactions};

#[path = "effects_faults.rs"]
mod faults;

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
