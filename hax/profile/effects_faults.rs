//! What Hare gets wrong, what is broken in a tree, crashes and sizes.

use super::*;

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
    let tree = ConfTree::parse_related(
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
