//! The answer to NVEC GET.

use halink::{Fid, FidType, HaState, ProcessEvent};

use super::Checks;
use crate::cluster::{HareState, Snapshot};

/// The state of an object; `None` if nothing is known of it, which is told as ONLINE.
pub fn state_of(snapshot: &Snapshot, checks: &Checks, own: Fid, object: Fid) -> Option<HaState> {
    let relations = snapshot.tree.relations();
    match object.fid_type() {
        Some(FidType::Process) => of_process(snapshot, checks, own, object),
        Some(FidType::Service) => {
            let process = snapshot.tree.process_of(object)?;
            of_process(snapshot, checks, own, process).or(Some(HaState::Online))
        }
        Some(FidType::Drive | FidType::Sdev) => {
            let state = relations.state(relations.sdev_of(object)?)?;
            Some(match state {
                HareState::Unknown | HareState::DtmRecovering => HaState::Online,
                state => state.ha_state(),
            })
        }
        Some(FidType::Node | FidType::Enclosure | FidType::Controller) => {
            Some(match relations.state(object)? {
                HareState::Unknown => HaState::Transient,
                state => state.ha_state(),
            })
        }
        _ => Some(HaState::Online),
    }
}

fn of_process(snapshot: &Snapshot, checks: &Checks, own: Fid, process: Fid) -> Option<HaState> {
    // This code runs, so the bridge is alive, whatever its check said last.
    if process == own {
        return Some(HaState::Online);
    }
    let relations = snapshot.tree.relations();
    let node = relations.node_of(process)?;
    let pass = relations
        .name_of(node)
        .is_some_and(|name| checks.pass(process, name));
    let status = snapshot.processes.get(process);
    Some(match status.map(|status| status.state) {
        Some(ProcessEvent::DtmRecovered) if pass => HaState::Online,
        Some(ProcessEvent::Started) if pass && relations.is_confd(process) => HaState::Online,
        Some(ProcessEvent::Started) if pass => HaState::DtmRecovering,
        _ => HaState::Transient,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::{ConfTree, ProcessTable, process};
    use crate::profile::tests::small_tree;
    use consul_client::{CheckStatus, HealthCheck};

    const OWN: Fid = Fid::typed(FidType::Process, 1, 0);
    const CONFD: Fid = Fid::typed(FidType::Process, 1, 1);
    const IOS: Fid = Fid::typed(FidType::Process, 1, 2);

    fn check(id: &str, service: &str, status: CheckStatus) -> HealthCheck {
        serde_json::from_value(serde_json::json!({
            "Node": "ssu1", "CheckID": id, "Name": id, "Status": status.as_str(),
            "Notes": "", "Output": "", "ServiceID": service, "ServiceName": "",
            "ServiceTags": [], "CreateIndex": 1, "ModifyIndex": 1,
        }))
        .unwrap()
    }

    fn snapshot(tree: ConfTree, event: Option<&str>) -> Snapshot {
        let value = event.map(|event| {
            let prefix = "M0_CONF_HA_PROCESS_";
            format!(r#"{{"state":"{prefix}{event}","type":"{prefix}M0D"}}"#)
        });
        let keys = [CONFD, IOS].map(process::key);
        let pairs = keys
            .iter()
            .filter_map(|key| Some((key.as_str(), value.as_ref()?.as_bytes(), 9)));
        Snapshot {
            tree: Arc::new(tree),
            processes: Arc::new(ProcessTable::parse(pairs)),
            failing: Arc::default(),
        }
    }

    fn checks(node: CheckStatus, of_process: Option<CheckStatus>) -> Checks {
        let of_process = of_process.map(|status| [("c", "1", status), ("i", "2", status)]);
        let of_process = of_process.into_iter().flatten();
        let all = [("serfHealth", "", node)].into_iter().chain(of_process);
        Checks::of(
            &all.map(|(id, service, status)| check(id, service, status))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_process_is_as_its_checks_and_its_word_say_and_a_service_as_its_process() {
        use CheckStatus::{Critical, Passing, Warning};
        use HaState::{DtmRecovering, Online, Transient};
        for (node, own_check, word, ios, confd) in [
            (
                Passing,
                Some(Passing),
                Some("DTM_RECOVERED"),
                Online,
                Online,
            ),
            (
                Passing,
                Some(Passing),
                Some("STARTED"),
                DtmRecovering,
                Online,
            ),
            (
                Passing,
                Some(Passing),
                Some("STARTING"),
                Transient,
                Transient,
            ),
            (
                Passing,
                Some(Passing),
                Some("STOPPING"),
                Transient,
                Transient,
            ),
            (
                Passing,
                Some(Passing),
                Some("STOPPED"),
                Transient,
                Transient,
            ),
            (Passing, Some(Passing), None, Transient, Transient),
            (
                Passing,
                Some(Warning),
                Some("STARTED"),
                Transient,
                Transient,
            ),
            (
                Passing,
                Some(Critical),
                Some("DTM_RECOVERED"),
                Transient,
                Transient,
            ),
            (Passing, None, Some("DTM_RECOVERED"), Transient, Transient),
            (
                Warning,
                Some(Passing),
                Some("DTM_RECOVERED"),
                Transient,
                Transient,
            ),
            (
                Critical,
                Some(Passing),
                Some("STARTED"),
                Transient,
                Transient,
            ),
        ] {
            let (tree, _) = small_tree();
            let snapshot = snapshot(tree, word);
            let checks = checks(node, own_check);
            let told = |object| state_of(&snapshot, &checks, OWN, object);
            let case = format!("{node:?} {own_check:?} {word:?}");
            assert_eq!(told(IOS), Some(ios), "{case}");
            assert_eq!(told(CONFD), Some(confd), "{case}");
            for (process, state) in [(IOS, ios), (CONFD, confd)] {
                for service in snapshot.tree.services_of(process) {
                    assert_eq!(told(*service), Some(state), "{case} {service}");
                }
            }
            assert_eq!(told(OWN), Some(Online), "{case}");
        }
    }

    #[test]
    fn devices_and_what_is_around_them_are_as_stored() {
        use HaState::{DtmRecovering, Failed, Online, Rebalance, Repair, Repaired, Transient};
        let sdev = Fid::typed(FidType::Sdev, 1, 2);
        let above = [
            Fid::typed(FidType::Node, 1, 0),
            Fid::typed(FidType::Enclosure, 1, 0),
            Fid::typed(FidType::Controller, 1, 0),
        ];
        for (stored, of_drive, of_others) in [
            ("M0_NC_UNKNOWN", Online, Transient),
            ("unknown", Online, Transient),
            ("online", Online, Online),
            ("dtm_recovering", Online, DtmRecovering),
            ("offline", Transient, Transient),
            ("failed", Failed, Failed),
            ("repairing", Repair, Repair),
            ("repaired", Repaired, Repaired),
            ("rebalancing", Rebalance, Rebalance),
            ("M0_NC_DTM_RECOVERING", Online, DtmRecovering),
        ] {
            let (_, pairs) = small_tree();
            let changed = pairs
                .iter()
                .map(|(key, value)| (key, value.replace("M0_NC_UNKNOWN", stored)));
            let changed: Vec<_> = changed.collect();
            let tree = ConfTree::parse_related(
                changed
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_bytes())),
            );
            let snapshot = snapshot(tree, None);
            let told = |object| state_of(&snapshot, &Checks::default(), OWN, object);
            assert_eq!(told(sdev), Some(of_drive), "{stored}");
            assert_eq!(
                told(Fid::typed(FidType::Drive, 1, 2)),
                Some(of_drive),
                "{stored}"
            );
            for object in above {
                assert_eq!(told(object), Some(of_others), "{stored} {object}");
            }
        }
    }

    #[test]
    fn every_object_has_an_answer_that_is_online_where_nothing_is_known() {
        let (tree, _) = small_tree();
        let snapshot = snapshot(tree, None);
        for fid_type in FidType::ALL {
            let told = state_of(
                &snapshot,
                &Checks::default(),
                OWN,
                Fid::typed(*fid_type, 1, 9_999),
            );
            assert_eq!(
                told.unwrap_or(HaState::Online),
                HaState::Online,
                "{fid_type:?}"
            );
        }
        let told = state_of(&snapshot, &Checks::default(), OWN, Fid::new(1, 1));
        assert_eq!(told, Some(HaState::Online));
    }
}
