//! The environment of a command.

use crate::config::plugin::Rule;
use crate::fence::executor::AGENT_PATH;

use super::super::event::Event;
use super::super::object::Object;
use super::matching::current;

/// Bytes of a value that comes from an event. An object has some ten fields, each three or six times in the
/// environment: this is far below what Linux takes.
const VALUE_MAX: usize = 4096;

/// Where a run is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The name of the instance.
    pub(super) instance: String,
    /// This node's name.
    pub(super) node: String,
}

/// All variables of a run, in the order in which they are set: the last one of a name counts.
pub(super) fn environment(place: &Place, rule: &Rule, event: &Event) -> Vec<(String, String)> {
    let mut all = vec![("PATH".to_owned(), AGENT_PATH.to_owned())];
    let own = rule.env.iter();
    all.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    let mut set = |name: String, value: &str| all.push((name, bounded(value)));
    set("HAX_EVENT".to_owned(), event.kind.word());
    set("HAX_OBJECT".to_owned(), event.key.kind.word());
    set("HAX_LOCAL_NODE".to_owned(), &place.node);
    set("HAX_INSTANCE".to_owned(), &place.instance);
    set("HAX_RULE".to_owned(), &rule.name);
    let prefixes: &[&str] = match event.key.kind.is_drbd() {
        true => &["HAX_", "DRBD_"],
        false => &["HAX_"],
    };
    let states: [(&str, Option<&Object>); 3] = [
        ("", current(event)),
        ("OLD_", event.old.as_deref()),
        ("NEW_", event.new.as_deref()),
    ];
    for prefix in prefixes {
        for (state, object) in states {
            for (field, value) in object.map(Object::fields).unwrap_or_default() {
                let field = field.to_ascii_uppercase();
                set(format!("{prefix}{state}{field}"), &value.to_string());
            }
        }
    }
    all
}

/// The value without NUL, cut to its limit at a character's end.
fn bounded(value: &str) -> String {
    let mut value = value.replace('\0', "");
    if value.len() > VALUE_MAX {
        let mut end = VALUE_MAX;
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        value.truncate(end);
    }
    value
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::config::plugin::Commands;

    use super::super::super::hub::World;
    use super::super::super::{Device, EventKind, Kind, Process};
    use super::*;

    fn variables(
        kind: EventKind,
        old: Option<Object>,
        new: Option<Object>,
    ) -> BTreeMap<String, String> {
        let object = new.as_ref().or(old.as_ref()).unwrap();
        let event = Event {
            number: 1,
            at: 0,
            kind,
            key: Arc::new(object.key()),
            old: old.map(Arc::new),
            new: new.map(Arc::new),
            world: World::default(),
        };
        let rule = Rule {
            name: "tell".to_owned(),
            object: Kind::Process,
            events: Default::default(),
            matchers: Vec::new(),
            command: Commands::Shell(":".to_owned()),
            env: BTreeMap::from([
                ("TOKEN".to_owned(), "secret".to_owned()),
                ("HAX_RULE".to_owned(), "another".to_owned()),
            ]),
            timeout: Duration::from_secs(1),
        };
        let place = Place {
            instance: "tell-all".to_owned(),
            node: "here".to_owned(),
        };
        environment(&place, &rule, &event).into_iter().collect()
    }

    fn process(state: &str) -> Object {
        Object::from(Process {
            process: "0x1:2".to_owned(),
            node: Some("there".to_owned()),
            state: Some(state.to_owned()),
            ..Process::default()
        })
    }

    fn expected(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        variables.iter().map(owned).collect()
    }

    #[test]
    fn each_known_field_is_there_for_each_state_and_nothing_else_is() {
        let all = variables(EventKind::Change, Some(process("A")), Some(process("B")));
        let wanted = expected(&[
            ("PATH", AGENT_PATH),
            ("TOKEN", "secret"),
            ("HAX_EVENT", "change"),
            ("HAX_OBJECT", "process"),
            ("HAX_LOCAL_NODE", "here"),
            ("HAX_INSTANCE", "tell-all"),
            ("HAX_RULE", "tell"),
            ("HAX_PROCESS", "0x1:2"),
            ("HAX_NODE", "there"),
            ("HAX_STATE", "B"),
            ("HAX_OLD_PROCESS", "0x1:2"),
            ("HAX_OLD_NODE", "there"),
            ("HAX_OLD_STATE", "A"),
            ("HAX_NEW_PROCESS", "0x1:2"),
            ("HAX_NEW_NODE", "there"),
            ("HAX_NEW_STATE", "B"),
        ]);
        assert_eq!(all, wanted);
    }

    #[test]
    fn what_is_gone_has_its_old_state() {
        let all = variables(EventKind::Destroy, Some(process("A")), None);
        assert_eq!(all.get("HAX_STATE").unwrap(), "A");
        assert_eq!(all.get("HAX_OLD_STATE").unwrap(), "A");
        assert!(!all.keys().any(|name| name.starts_with("HAX_NEW_")));
        let all = variables(EventKind::Create, None, Some(process("B")));
        assert!(!all.keys().any(|name| name.starts_with("HAX_OLD_")));
    }

    #[test]
    fn objects_of_drbd_have_both_prefixes() {
        let device = Object::from(Device {
            name: "r0".to_owned(),
            volume: 1,
            disk: Some("UpToDate".to_owned()),
            quorum: Some(true),
            size: Some(4),
            ..Device::default()
        });
        let all = variables(EventKind::Create, None, Some(device));
        for prefix in ["HAX", "DRBD"] {
            let value = |name: &str| all.get(&format!("{prefix}_{name}")).map(String::as_str);
            assert_eq!(value("DISK"), Some("UpToDate"));
            assert_eq!(value("NEW_QUORUM"), Some("true"));
            assert_eq!(value("NEW_VOLUME"), Some("1"));
            assert_eq!(value("SIZE"), None);
        }
        let all = variables(EventKind::Create, None, Some(process("A")));
        assert!(!all.keys().any(|name| name.starts_with("DRBD_")));
    }

    #[test]
    fn values_are_bounded_and_have_no_nul() {
        let all = variables(EventKind::Create, None, Some(process(&"ä\0".repeat(9000))));
        let state = all.get("HAX_STATE").unwrap();
        assert_eq!(state, &"ä".repeat(VALUE_MAX / 2));
    }
}
