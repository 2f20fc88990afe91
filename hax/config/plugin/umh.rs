//! `[[umh]]` and its rules.

use std::collections::BTreeSet;

use super::model::{Commands, Matcher, Rule, State, UmhConfig};
use super::snippet_schema::{self as keys, FieldKeys, RULES, RuleKeys};
use super::umh_value as value;
use crate::config::build::duration;
use crate::config::reader::{Reader, Words};
use crate::config::schema::KeyDoc;
use crate::plugin::EventKind;

/// Rules of one instance: each event is compared with each of them.
const RULES_MAX: usize = 256;
/// Variables of one environment, and arguments of one command.
const COUNT_MAX: usize = 256;

/// Reads the table that has been entered, which begins at `at`.
pub(super) fn read(r: &mut Reader<'_>, at: usize) -> Option<UmhConfig> {
    let concurrency = r.number(&keys::CONCURRENCY);
    let pending_max = r.number(&keys::PENDING_MAX);
    let mut rules = Vec::new();
    let mut total = 0;
    for keys in RULES.iter() {
        let section = keys.section();
        let count = r.elements(section);
        let places = r.places(section);
        total += count;
        if total > RULES_MAX {
            let why = format!("an instance has {RULES_MAX} rules at most; use several snippets");
            r.refuse_at(at, "umh", why);
            return None;
        }
        for (index, place) in (0..count).zip(places) {
            if r.enter(section, index) {
                let rule = rule(r, keys, index);
                rules.extend(rule.map(|rule| (place, rule)));
            }
        }
    }
    if total == 0 {
        let why = "has no rule; write one or more, such as [[umh.process]]".to_owned();
        r.refuse_at(at, "umh", why);
    }
    rules.sort_by_key(|(place, _)| *place);
    unique(r, &rules);
    let rules: Vec<_> = rules.into_iter().map(|(_, rule)| rule).collect();
    (rules.len() == total && total > 0).then_some(UmhConfig {
        concurrency: usize::try_from(concurrency?).ok()?.try_into().ok()?,
        pending_max: usize::try_from(pending_max?).ok()?,
        rules,
    })
}

/// The log and the metrics tell rules by their names.
fn unique(r: &mut Reader<'_>, rules: &[(usize, Rule)]) {
    let mut names = BTreeSet::new();
    for (place, rule) in rules {
        if !names.insert(&rule.name) {
            let section = format!("umh.{}", rule.object);
            let why = format!("there is another rule of the name {:?}", rule.name);
            r.refuse_at(*place, &section, why);
        }
    }
}

fn rule(r: &mut Reader<'_>, keys: &RuleKeys, index: usize) -> Option<Rule> {
    let named = r.is_given(&keys.name);
    let name = r.text(&keys.name, value::rule_name);
    let command = command(r, keys);
    let env = r.table(&keys.env, value::variable);
    if env.as_ref().is_some_and(|env| env.len() > COUNT_MAX) {
        r.refuse(&keys.env, format!("has more than {COUNT_MAX} variables"));
    }
    let events = events(r, &keys.events);
    let timeout = duration(r, &keys.timeout);
    let matchers = matchers(r, &keys.fields, events.as_ref());
    let name = match name {
        Some(name) => name,
        None if named => return None,
        None => format!("{}-{}", keys.object, index + 1),
    };
    Some(Rule {
        name,
        object: keys.object,
        events: events?,
        matchers: matchers?,
        command: command?,
        env: env?,
        timeout: timeout?,
    })
}

fn command(r: &mut Reader<'_>, keys: &RuleKeys) -> Option<Commands> {
    let shell = r.boolean(&keys.shell);
    let words = r.words(&keys.command);
    let command = match (shell?, words?) {
        (true, Words::One(line)) => value::line(line).map(Commands::Shell),
        (true, Words::Many(_)) => {
            Err("is a list, but shell = true: one string for the shell is wanted".to_owned())
        }
        (false, Words::One(_)) => Err(
            "is a string: write a list, such as [\"/usr/local/bin/tell\", \"argument\"], which runs without a \
             shell, or add shell = true"
                .to_owned(),
        ),
        (false, Words::Many(words)) if words.len() > COUNT_MAX => {
            Err(format!("has more than {COUNT_MAX} arguments"))
        }
        (false, Words::Many(words)) => value::program(words).map(Commands::Program),
    };
    command.map_err(|why| r.refuse(&keys.command, why)).ok()
}

fn events(r: &mut Reader<'_>, key: &KeyDoc) -> Option<BTreeSet<EventKind>> {
    let events: BTreeSet<_> = r.list(key, value::event)?.into_iter().collect();
    if !r.is_given(key) {
        return Some([EventKind::Create, EventKind::Change, EventKind::Destroy].into());
    }
    if events.is_empty() {
        let why = "is empty, so that the rule is for nothing; leave the key out for the default";
        r.refuse(key, why.to_owned());
        return None;
    }
    Some(events)
}

fn matchers(
    r: &mut Reader<'_>,
    fields: &[FieldKeys],
    events: Option<&BTreeSet<EventKind>>,
) -> Option<Vec<Matcher>> {
    let mut matchers = Vec::new();
    let mut right = true;
    for field in fields {
        for (key, state) in [
            (&field.current, State::Current),
            (&field.old, State::Old),
            (&field.new, State::New),
        ] {
            if !r.is_given(key) {
                continue;
            }
            if let Some(why) = events.and_then(|events| value::never(events, state)) {
                r.refuse(key, why.to_owned());
            }
            let test = r.comparison(key, |operator, operand| {
                value::test(field.field, operator, operand)
            });
            right &= test.is_some();
            matchers.extend(test.map(|test| Matcher {
                state,
                field: field.field,
                test,
            }));
        }
    }
    right.then_some(matchers)
}
