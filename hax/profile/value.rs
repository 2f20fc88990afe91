//! Changing the `state` of a stored value and nothing else of it.

use std::fmt;

use halink::{Fid, FidType};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::cluster::HareState;

/// Why a value has no state that could be changed.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// It is no JSON object.
    #[error("not a JSON object: {0}")]
    NotAnObject(#[from] serde_json::Error),
    /// Its `state` is no string.
    #[error("its `state` is no string")]
    NotText,
}

/// The value with this state, as Hare spells it for the object; every other byte stays as it is.
/// `None`: it says so already, or it is a drive's and not for a process event to change.
///
/// # Errors
/// The value is not one that Hare or `haxctl` writes; it is left alone.
pub fn with_state(
    value: &[u8],
    object: Fid,
    state: HareState,
) -> Result<Option<Vec<u8>>, ValueError> {
    let spelled = state.spelled(object);
    let Some(stored) = find(value)? else {
        return Ok(Some(appended(value, spelled)));
    };
    let text: String = serde_json::from_str(stored.get()).map_err(|_| ValueError::NotText)?;
    let drive = matches!(object.fid_type(), Some(FidType::Sdev | FidType::Drive));
    let kept = drive && HareState::parse(&text).is_some_and(HareState::keeps_drive);
    if text == spelled || kept {
        return Ok(None);
    }
    // The text lies within the value, which it borrows from.
    let start = stored.get().as_ptr().addr() - value.as_ptr().addr();
    let (before, rest) = value.split_at(start);
    let after = &rest[stored.get().len()..];
    Ok(Some([before, quoted(spelled).as_bytes(), after].concat()))
}

/// The state a value has; `None` if it has none that is known.
pub(super) fn state_in(value: &[u8]) -> Option<HareState> {
    let stored = find(value).ok()??;
    let text: String = serde_json::from_str(stored.get()).ok()?;
    HareState::parse(&text)
}

/// The raw text of the member `state`; of several the last, which is the one that readers take.
fn find(value: &[u8]) -> Result<Option<&RawValue>, serde_json::Error> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                if name == "state" {
                    found = Some(value);
                }
            }
            Ok(found)
        }
    }

    let mut json = serde_json::Deserializer::from_slice(value);
    let found = json.deserialize_map(Members)?;
    json.end()?;
    Ok(found)
}

/// An object without a state gets one, at its end.
fn appended(value: &[u8], spelled: &str) -> Vec<u8> {
    let text = value.trim_ascii_end();
    let open = text.strip_suffix(b"}").unwrap_or(text).trim_ascii_end();
    let separator = if open.ends_with(b"{") { "" } else { ", " };
    let member = format!("{separator}\"state\": {}}}", quoted(spelled));
    [open, member.as_bytes()].concat()
}

/// The spellings need no escapes.
fn quoted(spelled: &str) -> String {
    format!("\"{spelled}\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    const PROCESS: Fid = Fid::typed(FidType::Process, 1, 2);
    const NODE: Fid = Fid::typed(FidType::Node, 1, 2);
    const SDEV: Fid = Fid::typed(FidType::Sdev, 1, 2);

    fn changed(value: &str, object: Fid, state: HareState) -> Option<String> {
        let changed = with_state(value.as_bytes(), object, state).unwrap();
        changed.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_the_state_changes_and_hares_spelling_is_kept() {
        let stored = r#"{"name": "m0_server", "state": "M0_NC_UNKNOWN", "x":[1,{"state":"a"}] }"#;
        assert_eq!(
            changed(stored, PROCESS, HareState::DtmRecovering).unwrap(),
            r#"{"name": "m0_server", "state": "dtm_recovering", "x":[1,{"state":"a"}] }"#
        );
        assert_eq!(
            changed(
                r#"{"name":"ssu1","state":"M0_NC_UNKNOWN"}"#,
                NODE,
                HareState::DtmRecovering
            )
            .unwrap(),
            r#"{"name":"ssu1","state":"M0_NC_DTM_RECOVERING"}"#
        );
    }

    #[test]
    fn what_is_stored_already_is_not_written_again() {
        assert_eq!(
            changed(r#"{"state": "online"}"#, PROCESS, HareState::Online),
            None
        );
        assert_eq!(
            changed(r#"{"state":"M0_NC_ONLINE"}"#, NODE, HareState::Online),
            None
        );
        // Hare's readers know one spelling only.
        let other = changed(r#"{"state":"M0_NC_ONLINE"}"#, PROCESS, HareState::Online);
        assert_eq!(other.unwrap(), r#"{"state":"online"}"#);
    }

    #[test]
    fn a_drive_that_fails_or_is_repaired_is_left_alone() {
        for stored in [
            "failed",
            "repairing",
            "repaired",
            "rebalancing",
            "M0_NC_REPAIR",
            "M0_NC_FAILED",
        ] {
            for state in [
                HareState::Online,
                HareState::Offline,
                HareState::DtmRecovering,
            ] {
                let value = format!(r#"{{"path": "/dev/vdb", "state": "{stored}"}}"#);
                assert_eq!(changed(&value, SDEV, state), None, "{stored}");
                assert!(changed(&value, PROCESS, state).is_some(), "{stored}");
            }
        }
        for stored in [
            "online",
            "offline",
            "unknown",
            "dtm_recovering",
            "M0_NC_UNKNOWN",
        ] {
            let value = format!(r#"{{"path": "/dev/vdb", "state": "{stored}"}}"#);
            let state = if stored == "online" {
                HareState::Offline
            } else {
                HareState::Online
            };
            assert!(changed(&value, SDEV, state).is_some(), "{stored}");
        }
    }

    #[test]
    fn a_value_without_a_state_gets_one_and_what_is_no_object_is_refused() {
        assert_eq!(
            changed("{}", PROCESS, HareState::Online).unwrap(),
            r#"{"state": "online"}"#
        );
        assert_eq!(
            changed("{\"name\":\"a\" }\n", PROCESS, HareState::Online).unwrap(),
            r#"{"name":"a", "state": "online"}"#
        );
        for value in [
            "",
            "online",
            "[]",
            "{",
            r#"{"state":"a"} x"#,
            "\u{7f}",
            r#"{"state":7}"#,
            r#"{"state":null}"#,
        ] {
            with_state(value.as_bytes(), PROCESS, HareState::Online).unwrap_err();
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*|state", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_other_member_is_ever_lost(
            mut members in prop::collection::btree_map("[a-z]{0,6}|\\PC{0,6}", json(), 0..6),
            stored in prop::option::of("\\PC{0,12}"),
            pretty: bool,
        ) {
            members.remove("state");
            if let Some(stored) = &stored {
                members.insert("state".to_owned(), Value::from(stored.as_str()));
            }
            let value = Value::Object(members.into_iter().collect::<Map<_, _>>());
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let changed = with_state(text.as_bytes(), PROCESS, HareState::Failed).unwrap();
            let mut expected = value;
            expected["state"] = Value::from("failed");
            match changed {
                Some(changed) => {
                    let read: Value = serde_json::from_slice(&changed).unwrap();
                    prop_assert_eq!(read, expected);
                }
                None => prop_assert_eq!(stored.as_deref(), Some("failed")),
            }
        }

        #[test]
        fn nothing_makes_it_panic(value: Vec<u8>) {
            let _ = with_state(&value, SDEV, HareState::Online);
        }
    }
}
