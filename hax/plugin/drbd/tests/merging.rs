//! What lines make of what was known.

use super::super::parse::parse;
use super::super::state::State;
use super::recorded;
use crate::plugin::hub::Change;
use crate::plugin::object::Object;

fn take(state: &mut State, lines: &str) -> Vec<Change> {
    let taken = lines.lines().map(|line| {
        let line = parse(line.as_bytes()).unwrap();
        state.take(line).unwrap()
    });
    taken.flatten().collect()
}

fn said(changes: &[Change]) -> Vec<String> {
    let said = changes.iter().map(|change| match change {
        Change::Set(object) => format!("set {}", object.key()),
        Change::Gone(key) => format!("gone {key}"),
    });
    said.collect()
}

fn keys(state: &State) -> Vec<String> {
    state
        .objects()
        .map(|object| object.key().to_string())
        .collect()
}

#[test]
fn a_change_keeps_what_it_does_not_name() {
    let mut state = State::default();
    take(&mut state, &recorded("dump"));
    let changed = take(
        &mut state,
        "change device name:r0 volume:0 disk:Failed backing_dev:none",
    );
    let [Change::Set(Object::Device(device))] = changed.as_slice() else {
        panic!("{changed:?}");
    };
    assert_eq!(device.disk.as_deref(), Some("Failed"));
    assert_eq!(device.backing_dev, None);
    assert_eq!((device.minor, device.size), (Some(1000), Some(1_048_576)));

    let told = take(&mut state, "exists device name:r0 volume:0 disk:Diskless");
    let [Change::Set(Object::Device(device))] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(device.minor, None);
}

#[test]
fn what_is_below_an_object_ends_with_it() {
    let mut state = State::default();
    take(&mut state, &recorded("dump"));
    assert_eq!(
        said(&take(
            &mut state,
            "destroy connection name:r0 peer-node-id:1"
        )),
        ["gone peer_device r0 1 0", "gone connection r0 1"]
    );
    assert_eq!(
        said(&take(&mut state, "destroy device name:r0 volume:0")),
        ["gone peer_device r0 2 0", "gone device r0 0"]
    );
    assert_eq!(
        said(&take(&mut state, "destroy resource name:backup")),
        [
            "gone peer_device backup 2 0",
            "gone connection backup 2",
            "gone device backup 0",
            "gone resource backup"
        ]
    );
    assert_eq!(keys(&state), ["resource r0", "connection r0 2"]);
    assert_eq!(take(&mut state, "destroy resource name:backup").len(), 0);
}

#[test]
fn a_resource_takes_what_is_below_it_to_its_new_name() {
    let mut state = State::default();
    take(&mut state, &recorded("dump"));
    assert_eq!(
        said(&take(
            &mut state,
            "rename resource name:backup new_name:vault"
        )),
        [
            "gone peer_device backup 2 0",
            "gone connection backup 2",
            "gone device backup 0",
            "gone resource backup",
            "set resource vault",
            "set device vault 0",
            "set connection vault 2",
            "set peer_device vault 2 0"
        ]
    );
    let same = "rename resource name:vault new_name:vault\nrename resource name:x new_name:y";
    assert_eq!(take(&mut state, same).len(), 0);
    assert!(!keys(&state).iter().any(|key| key.contains("backup")));
}

#[test]
fn a_dump_with_gaps_is_filled_with_what_was_known() {
    let mut older = State::default();
    take(
        &mut older,
        "exists resource name:a role:Primary\nexists resource name:b role:Primary",
    );
    let mut state = State::default();
    take(&mut state, "exists resource name:a role:Secondary");
    state.keep(older);
    let roles: Vec<_> = state.objects().map(|object| object.field("role")).collect();
    assert_eq!(roles, [Some("Secondary".into()), Some("Primary".into())]);
}
