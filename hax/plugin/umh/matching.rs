//! Whether a rule is for an event. Nothing here waits or does anything.

use crate::config::plugin::{Matcher, Rule, State, Test};

use super::super::event::Event;
use super::super::object::Object;

/// Whether the rule's command is to run for the event.
pub(super) fn is_for(rule: &Rule, event: &Event) -> bool {
    rule.object == event.key.kind
        && rule.events.contains(&event.kind)
        && rule.matchers.iter().all(|matcher| passes(matcher, event))
}

/// The state now; of an object that is gone the one before.
pub(super) fn current(event: &Event) -> Option<&Object> {
    event.new.as_deref().or(event.old.as_deref())
}

fn passes(matcher: &Matcher, event: &Event) -> bool {
    let object = match matcher.state {
        State::Current => current(event),
        State::Old => event.old.as_deref(),
        State::New => event.new.as_deref(),
    };
    // What there is not is not different from a value either.
    let Some(object) = object else { return false };
    let value = object.field(matcher.field).map(|value| value.to_string());
    match (&matcher.test, value.as_deref()) {
        (Test::Equals(wanted), value) => value == Some(wanted),
        (Test::NotEquals(unwanted), value) => value != Some(unwanted),
        (Test::Matches(regex), Some(value)) => regex.is_match(value),
        (Test::Matches(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use regex::Regex;

    use crate::config::plugin::Commands;

    use super::super::super::hub::World;
    use super::super::super::{Device, EventKind, Kind};
    use super::*;

    fn device(disk: Option<&str>, quorum: bool, minor: u64) -> Object {
        Object::from(Device {
            name: "r0".to_owned(),
            volume: 0,
            minor: Some(minor),
            disk: disk.map(str::to_owned),
            quorum: Some(quorum),
            ..Device::default()
        })
    }

    fn event(kind: EventKind, old: Option<Object>, new: Option<Object>) -> Event {
        let object = new.as_ref().or(old.as_ref()).unwrap();
        Event {
            number: 1,
            at: 0,
            kind,
            key: Arc::new(object.key()),
            old: old.map(Arc::new),
            new: new.map(Arc::new),
            world: World::default(),
        }
    }

    fn change(old: Option<&str>, new: Option<&str>) -> Event {
        let (old, new) = (device(old, true, 7), device(new, false, 7));
        event(EventKind::Change, Some(old), Some(new))
    }

    fn rule(matchers: Vec<Matcher>) -> Rule {
        Rule {
            name: "device-1".to_owned(),
            object: Kind::Device,
            events: [EventKind::Create, EventKind::Change, EventKind::Destroy].into(),
            matchers,
            command: Commands::Shell(":".to_owned()),
            env: Default::default(),
            timeout: Duration::from_secs(1),
        }
    }

    fn when(state: State, field: &'static str, test: Test, event: &Event) -> bool {
        is_for(&rule(vec![Matcher { state, field, test }]), event)
    }

    fn equals(value: &str) -> Test {
        Test::Equals(value.to_owned())
    }

    fn differs(value: &str) -> Test {
        Test::NotEquals(value.to_owned())
    }

    fn matches(regex: &str) -> Test {
        Test::Matches(Regex::new(regex).unwrap())
    }

    #[test]
    fn a_rule_without_fields_is_for_every_event_of_its_object_and_kinds() {
        let any = rule(Vec::new());
        let object = || Some(device(Some("UpToDate"), true, 7));
        assert!(is_for(&any, &change(Some("A"), Some("B"))));
        assert!(is_for(&any, &event(EventKind::Create, None, object())));
        assert!(is_for(&any, &event(EventKind::Destroy, object(), None)));
        assert!(!is_for(&any, &event(EventKind::Exists, None, object())));
        let asked = Rule {
            events: [EventKind::Exists].into(),
            ..any.clone()
        };
        assert!(is_for(&asked, &event(EventKind::Exists, None, object())));
        assert!(!is_for(&asked, &event(EventKind::Create, None, object())));
        let other = Rule {
            object: Kind::PeerDevice,
            ..any
        };
        assert!(!is_for(&other, &change(Some("A"), Some("B"))));
    }

    #[test]
    fn each_state_is_its_own() {
        let event = change(Some("UpToDate"), Some("Failed"));
        for (state, value) in [
            (State::Current, "Failed"),
            (State::New, "Failed"),
            (State::Old, "UpToDate"),
        ] {
            for word in ["Failed", "UpToDate"] {
                let same = word == value;
                assert_eq!(when(state, "disk", equals(word), &event), same);
                assert_eq!(when(state, "disk", differs(word), &event), !same);
                assert_eq!(when(state, "disk", matches(word), &event), same);
            }
        }
    }

    #[test]
    fn a_field_by_itself_is_the_old_one_of_what_is_gone() {
        let gone = event(
            EventKind::Destroy,
            Some(device(Some("UpToDate"), true, 7)),
            None,
        );
        assert!(when(State::Current, "disk", equals("UpToDate"), &gone));
        assert!(when(State::Old, "disk", equals("UpToDate"), &gone));
        for test in [equals("UpToDate"), differs("Failed"), matches("")] {
            assert!(!when(State::New, "disk", test, &gone));
        }
    }

    #[test]
    fn no_test_of_a_state_that_there_is_not_passes() {
        let create = event(EventKind::Create, None, Some(device(Some("A"), true, 7)));
        for test in [equals("A"), differs("A"), differs("B"), matches("")] {
            assert!(!when(State::Old, "disk", test, &create));
        }
    }

    #[test]
    fn a_field_that_is_not_known_differs_from_every_value_and_matches_nothing() {
        let event = change(None, None);
        for state in [State::Old, State::New, State::Current] {
            assert!(!when(state, "disk", equals(""), &event));
            assert!(when(state, "disk", differs(""), &event));
            assert!(when(state, "disk", differs("UpToDate"), &event));
            assert!(!when(state, "disk", matches(""), &event));
        }
    }

    #[test]
    fn values_are_compared_as_they_are_shown() {
        let event = change(Some("A"), Some("B"));
        assert!(when(State::Old, "quorum", equals("true"), &event));
        assert!(when(State::New, "quorum", equals("false"), &event));
        assert!(when(State::New, "minor", equals("7"), &event));
        assert!(!when(State::New, "minor", equals("07"), &event));
        assert!(when(State::New, "volume", matches("^0$"), &event));
        // Those of the key, too.
        assert!(when(State::Old, "name", equals("r0"), &event));
    }

    #[test]
    fn an_expression_may_be_anywhere_in_the_value() {
        let event = change(Some("UpToDate"), Some("Inconsistent"));
        assert!(when(State::New, "disk", matches("consist"), &event));
        assert!(!when(State::New, "disk", matches("^consist"), &event));
        assert!(when(State::Current, "disk", matches("^(In|Out)"), &event));
    }

    #[test]
    fn all_tests_must_pass() {
        let test = |state, word| Matcher {
            state,
            field: "disk",
            test: equals(word),
        };
        let both = rule(vec![test(State::Old, "A"), test(State::New, "B")]);
        assert!(is_for(&both, &change(Some("A"), Some("B"))));
        assert!(!is_for(&both, &change(Some("A"), Some("C"))));
        assert!(!is_for(&both, &change(Some("C"), Some("B"))));
    }
}
