//! `[[fence.policy]]`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::model::{PolicyConfig, REPORT_MAX, Trigger};
use super::read::number;
use super::{schema as keys, value};
use crate::config::build::{choice, duration};
use crate::config::reader::Reader;
use crate::fence::model::Action;

const SECTION: &str = "fence.policy";

/// The longest `after` where reports of Motr count: most of the time for which one does is left to act.
const AFTER_MAX: Duration = Duration::from_secs(REPORT_MAX.as_secs() / 2);

/// Reads all policies; without any, the default one is there.
pub(super) fn read_all(r: &mut Reader<'_>, action: Option<Action>) -> Option<Vec<PolicyConfig>> {
    let total = r.elements(SECTION);
    if total == 0 {
        // No table is entered, so every key has its default.
        return Some(vec![policy(r, Some("default".to_owned()), action)?]);
    }
    let mut policies = Vec::new();
    let mut names = BTreeSet::new();
    for index in 0..total {
        if !r.enter(SECTION, index) {
            continue;
        }
        let name = r.text(&keys::POLICY_NAME, value::policy);
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            let why = format!("there is another policy of the name {name}");
            r.refuse(&keys::POLICY_NAME, why);
        }
        policies.extend(policy(r, name, action));
    }
    (policies.len() == total).then_some(policies)
}

fn policy(
    r: &mut Reader<'_>,
    name: Option<String>,
    action: Option<Action>,
) -> Option<PolicyConfig> {
    let processes = r.list(&keys::POLICY_PROCESSES, value::process);
    let triggers = r.list(&keys::POLICY_ON, |word| match word {
        "check" => Ok(Trigger::Check),
        "isolate" => Ok(Trigger::Isolate),
        "node-lost" => Ok(Trigger::NodeLost),
        "motr" => Ok(Trigger::Motr),
        _ => Err(format!("{word:?} is not one of {}", keys::POLICY_ON.range)),
    });
    let reporters = number(r, &keys::POLICY_REPORTERS);
    let after = duration(r, &keys::POLICY_AFTER);
    if let (Some(after), Some(triggers)) = (after, &triggers)
        && after > AFTER_MAX
        && triggers.contains(&Trigger::Motr)
    {
        let why = format!(
            "is longer than {AFTER_MAX:?}, but a report of Motr (`on` has motr) counts for {REPORT_MAX:?} only"
        );
        r.refuse(&keys::POLICY_AFTER, why);
    }
    let max = number(r, &keys::POLICY_MAX);
    let window = duration(r, &keys::POLICY_WINDOW);
    let written = r.is_given(&keys::POLICY_ACTION);
    let own = choice(r, &keys::POLICY_ACTION, |word| match word {
        "off" => Some(Some(Action::Off)),
        "reboot" => Some(Some(Action::Reboot)),
        "none" => Some(None),
        _ => None,
    });
    let escalate = r.boolean(&keys::POLICY_ESCALATE);
    for (key, is_empty) in [
        (
            &keys::POLICY_PROCESSES,
            processes.as_ref().is_some_and(Vec::is_empty),
        ),
        (
            &keys::POLICY_ON,
            triggers.as_ref().is_some_and(Vec::is_empty),
        ),
    ] {
        if is_empty && r.is_given(key) {
            r.refuse(
                key,
                "is empty; leave the key out for the default".to_owned(),
            );
        }
    }
    let action = if written { own? } else { Some(action?) };
    Some(PolicyConfig {
        name: name?,
        processes: processes?,
        triggers: triggers?,
        reporters: reporters?,
        after: after?,
        max: max?,
        window: window?,
        action,
        escalate: escalate?,
    })
}
