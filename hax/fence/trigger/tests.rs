//! What calls for a fence, and what is decided about it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use consul_client::Index;
use halink::{Fid, FidType};
use serde_json::json;

use super::*;
use crate::bridge::{Confirmed, Verdicts};
use crate::cluster::{ConfTree, Failing, ProcessTable};
use crate::config::fence::PolicyConfig;
use crate::fence::model::{Action, OpId, Operation, PeerRecord, Reach, ReportsRecord, Source};
use crate::fence::{FenceView, Peer, Stored, sample};

const OWN: Fid = process(0);

const fn process(key: u64) -> Fid {
    Fid::typed(FidType::Process, 1, key)
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

/// Node `a` with hax 0 and ios 2, node `b` with hax 10 and ios 12; this is `a`. The ios of `b` has
/// said this at index 100.
struct Case {
    view: Snapshot,
    verdicts: Verdicts,
    fence: FenceView,
    config: FenceConfig,
    now: u64,
}

impl Case {
    fn of(event: &str) -> Self {
        let conf = [
            ("m0conf/nodes/a/processes/0/services/ha", "0"),
            ("m0conf/nodes/a/processes/2/services/ios", "5"),
            ("m0conf/nodes/b/processes/10/services/ha", "20"),
            ("m0conf/nodes/b/processes/12/services/ios", "25"),
        ];
        let status = |event: &str, kind: &str| {
            let prefix = "M0_CONF_HA_PROCESS_";
            format!(r#"{{"state":"{prefix}{event}","type":"{prefix}{kind}"}}"#)
        };
        let words = [
            (process(12), status(event, "M0D"), 100),
            (process(2), status("STARTED", "M0D"), 90),
            (process(10), status("STARTED", "M0D"), 80),
        ]
        .map(|(process, status, index)| (format!("processes/{process}"), status, index));
        let words = words
            .iter()
            .map(|(key, status, index)| (key.as_str(), status.as_bytes(), *index));
        let mut case = Self {
            view: Snapshot {
                tree: Arc::new(ConfTree::parse(conf.map(|(k, v)| (k, v.as_bytes())))),
                processes: Arc::new(ProcessTable::parse(words)),
                failing: Arc::default(),
            },
            verdicts: Verdicts {
                enabled: true,
                known: true,
                ..Verdicts::default()
            },
            fence: FenceView::default(),
            config: config(),
            now: 1_000,
        };
        case.peer("a", true);
        case.peer("b", true);
        case
    }

    fn failing(mut self, processes: &[(u64, u64)], nodes: &[(&str, u64)]) -> Self {
        self.view.failing = Arc::new(Failing {
            processes: processes
                .iter()
                .map(|(key, at)| (process(*key), *at))
                .collect(),
            nodes: nodes
                .iter()
                .map(|(node, at)| ((*node).to_owned(), *at))
                .collect(),
        });
        self
    }

    fn peer(&mut self, name: &str, alive: bool) {
        let peer = Peer {
            record: PeerRecord::default(),
            session: alive.then(|| "5b0e1f7e-0000-4000-8000-000000000000".parse().unwrap()),
        };
        self.fence.peers.insert(node(name), peer);
    }

    /// A peer's hax has looked at this device.
    fn publish(&mut self, name: &str, device: &str) {
        let peer = self.fence.peers.get_mut(&node(name)).unwrap();
        let device = device.parse().unwrap();
        peer.record.devices.insert(device, Reach::default());
    }

    /// An operation whose last write had this index.
    fn op(mut self, target: &str, phase: serde_json::Value, index: u64) -> Self {
        let op = json!({
            "id": OpId::new(), "target": target, "action": "off", "driver": "a",
            "origin": { "node": "a", "source": "process-failed", "who": "", "reason": "", "at": 900 },
            "options": { "expire_ms": 1 }, "phase": phase,
        });
        let op: Operation = serde_json::from_value(op).unwrap();
        if op.ended().is_none() {
            let active = Stored {
                value: Some(op.id.clone()),
                index: Index(index),
            };
            self.fence.active.insert(op.target.clone(), active);
        }
        let stored = Stored {
            value: op.clone(),
            index: Index(index),
        };
        self.fence.ops.insert(op.id, stored);
        self
    }

    fn scene(&self) -> Scene<'_> {
        static ME: std::sync::LazyLock<NodeName> = std::sync::LazyLock::new(|| node("a"));
        Scene {
            me: &ME,
            own: OWN,
            view: &self.view,
            verdicts: &self.verdicts,
            fence: &self.fence,
            config: &self.config,
        }
    }

    fn found(&self) -> BTreeMap<Target, Condition> {
        conditions(&self.scene())
    }

    fn targets(&self) -> Vec<String> {
        self.found().keys().map(ToString::to_string).collect()
    }

    fn decide(&self, of: &str) -> Decision {
        let facts = Facts {
            config: &self.config,
            fence: &self.fence,
            scene: self.scene(),
            now: UnixMillis(self.now),
        };
        let condition = self
            .found()
            .remove(&target(of))
            .expect("the condition is there");
        decide(&facts, &target(of), &condition, &self.config.policies[0])
    }

    fn asked(&self, of: &str) -> Option<(String, Action, Source)> {
        match self.decide(of) {
            Decision::Ask {
                target,
                action,
                source,
                ..
            } => Some((target.to_string(), action, source)),
            Decision::Wait | Decision::Nothing(_) => None,
        }
    }
}

fn confirmed_at(word: u64) -> HashMap<Fid, Confirmed> {
    let op = String::new();
    HashMap::from([(process(12), Confirmed { word, op })])
}

fn config() -> FenceConfig {
    let mut config = sample::config("[[fence.device]]\nname = \"kill\"\ntype = \"process\"");
    config.action = Action::Reboot;
    config.policies = vec![PolicyConfig {
        name: "all".to_owned(),
        processes: Vec::new(),
        triggers: Vec::new(),
        reporters: 2,
        after: Duration::from_secs(10),
        max: 2,
        window: Duration::from_secs(3600),
        action: Some(Action::Reboot),
        escalate: true,
    }];
    config
}

fn ended(outcome: &str) -> serde_json::Value {
    json!({ "phase": "ended", "outcome": outcome, "detail": "", "at": 950 })
}

const IOS_B: &str = "0x7200000000000001:0xc@b";

#[test]
fn a_process_calls_for_a_fence_when_its_check_is_newer_than_its_word() {
    for (word, check, found) in [
        ("STARTED", 101, true),
        ("STARTED", 99, false),
        ("DTM_RECOVERED", 101, true),
        ("STOPPING", 99, true),
        ("STOPPED", 101, false),
        ("STARTING", 101, false),
    ] {
        let case = Case::of(word).failing(&[(12, check)], &[]);
        let expected: &[&str] = if found { &[IOS_B] } else { &[] };
        assert_eq!(case.targets(), expected, "{word} {check}");
    }
}

#[test]
fn who_writes_nothing_is_not_fenced() {
    let started = || Case::of("STARTED").failing(&[(12, 101)], &[]);
    // A bridge, and a process that nobody has heard of.
    assert!(
        Case::of("STARTED")
            .failing(&[(0, 101), (10, 101), (13, 101)], &[])
            .targets()
            .is_empty()
    );
    let mut confirmed = started();
    confirmed.verdicts.confirmed = confirmed_at(100);
    assert!(confirmed.targets().is_empty());
    confirmed.verdicts.confirmed = confirmed_at(99);
    assert_eq!(confirmed.targets(), [IOS_B]);
    let mut fenced = started();
    fenced.verdicts.fenced = BTreeSet::from(["b".to_owned()]);
    assert!(fenced.targets().is_empty());
}

#[test]
fn a_lost_node_is_fenced_for_the_sake_of_processes_that_may_write() {
    let lost = |event| Case::of(event).failing(&[(12, 101)], &[("b", 102)]);
    assert_eq!(lost("STARTED").targets(), ["b"]);
    assert_eq!(lost("STARTING").targets(), ["b"]);
    // Its bridge has not said that it stops; that does not matter.
    assert!(lost("STOPPED").targets().is_empty());
    let own = Case::of("STARTED").failing(&[], &[("a", 102), ("unknown", 102)]);
    assert!(own.targets().is_empty());
}

#[test]
fn an_isolated_process_of_this_node_is_fenced_without_a_check() {
    let mut case = Case::of("STARTED");
    case.verdicts.isolated = BTreeSet::from([process(2)]);
    assert_eq!(case.targets(), ["0x7200000000000001:0x2@a"]);
}

#[test]
fn a_process_is_reported_by_enough_nodes_of_a_policy_that_asks_for_it() {
    let mut case = Case::of("STARTED");
    case.peer("c", true);
    let report = |case: &mut Case, by: &str, key: u64, word: u64| {
        let value = ReportsRecord {
            words: [(process(key), word)].into(),
        };
        let index = Index(300);
        case.fence.reports.insert(node(by), Stored { value, index });
    };
    report(&mut case, "a", 12, 100);
    report(&mut case, "c", 12, 100);
    // Nobody has asked for it.
    assert!(case.targets().is_empty());
    case.config.policies[0].triggers = vec![Trigger::Motr];
    assert_eq!(case.targets(), [IOS_B]);
    let process_b = Some((IOS_B.to_owned(), Action::Off, Source::ProcessFailed));
    assert_eq!(case.asked(IOS_B), process_b);
    case.config.policies[0].reporters = 3;
    assert!(case.targets().is_empty());
    case.config.policies[0].reporters = 2;
    // Its node's hax is not alive; or it was about an earlier incarnation; or about another process, or one
    // that nobody knows, or a bridge.
    case.peer("c", false);
    assert!(case.targets().is_empty());
    case.peer("c", true);
    report(&mut case, "c", 12, 99);
    assert!(case.targets().is_empty());
    for key in [2, 77, 10] {
        report(&mut case, "a", key, 100);
        report(&mut case, "c", key, 100);
        let expected: &[&str] = if key == 2 {
            &["0x7200000000000001:0x2@a"]
        } else {
            &[]
        };
        assert_eq!(case.targets(), expected, "{key}");
    }
    for (word, found) in [("STOPPED", false), ("STARTING", false), ("STOPPING", true)] {
        let mut case = Case::of(word);
        case.config.policies[0].triggers = vec![Trigger::Motr];
        report(&mut case, "a", 12, 100);
        report(&mut case, "b", 12, 100);
        assert_eq!(!case.targets().is_empty(), found, "{word}");
    }
}

#[test]
fn a_process_is_ended_first_and_its_node_when_that_fails() {
    let failed = || Case::of("STARTED").failing(&[(12, 101)], &[]);
    let process = Some((IOS_B.to_owned(), Action::Off, Source::ProcessFailed));
    let escalated = Some(("b".to_owned(), Action::Reboot, Source::Escalation));
    assert_eq!(failed().asked(IOS_B), process);
    for (outcome, asked) in [
        (json!("failed"), &escalated),
        (json!("indeterminate"), &escalated),
        (json!("expired"), &escalated),
        (json!({ "refused": "no-device" }), &escalated),
        (json!({ "refused": "inhibited" }), &process),
        (json!("succeeded"), &process),
        (json!("cancelled"), &None),
    ] {
        let phase = json!({ "phase": "ended", "outcome": outcome, "detail": "", "at": 950 });
        assert_eq!(
            failed().op(IOS_B, phase.clone(), 120).asked(IOS_B),
            *asked,
            "{outcome}"
        );
        // It was about another incarnation.
        assert_eq!(
            failed().op(IOS_B, phase, 99).asked(IOS_B),
            process,
            "{outcome}"
        );
    }
    let mut dead = failed();
    dead.peer("b", false);
    assert_eq!(dead.asked(IOS_B), escalated);
    dead.config.policies[0].escalate = false;
    assert_eq!(dead.asked(IOS_B), None);
}

#[test]
fn a_node_that_has_been_fenced_since_starts_anew() {
    let process = format!("{}@b", process(12));
    let case = Case::of("STARTED")
        .failing(&[(12, 200)], &[])
        .op(&process, ended("failed"), 210);
    let escalated = Some(("b".to_owned(), Action::Reboot, Source::Escalation));
    assert_eq!(case.asked(&process), escalated);
    // It came back, and its process has not been started yet.
    let case = case.op("b", ended("succeeded"), 220);
    let first = Some((process.clone(), Action::Off, Source::ProcessFailed));
    assert_eq!(case.asked(&process), first);
    let case = case.op(&process, ended("failed"), 230);
    assert_eq!(case.asked(&process), escalated);
}

#[test]
fn a_hax_that_has_not_published_its_devices_yet_is_waited_for() {
    let phase =
        json!({ "phase": "ended", "outcome": { "refused": "no-peer" }, "detail": "", "at": 950 });
    let failed = Case::of("STARTED").failing(&[(12, 101)], &[]);
    let mut case = failed.op(IOS_B, phase, 120);
    let escalated = Some(("b".to_owned(), Action::Reboot, Source::Escalation));
    assert_eq!(case.decide(IOS_B), Decision::Wait);
    // Not for ever.
    case.now = 950 + 60_001;
    assert_eq!(case.asked(IOS_B), escalated);
    case.now = 1_000;
    case.publish("b", "pdu");
    assert_eq!(case.asked(IOS_B), escalated, "it has said what it can do");
    case.publish("b", "kill");
    let process = Some((IOS_B.to_owned(), Action::Off, Source::ProcessFailed));
    assert_eq!(case.asked(IOS_B), process);
    case.peer("b", false);
    assert_eq!(case.asked(IOS_B), escalated);
}

#[test]
fn what_is_under_way_is_waited_for() {
    let failed = || Case::of("STARTED").failing(&[(12, 101)], &[]);
    for target in [IOS_B, "b"] {
        let case = failed().op(target, json!({ "phase": "active" }), 120);
        assert_eq!(case.decide(IOS_B), Decision::Wait, "{target}");
    }
}

#[test]
fn a_policy_bounds_how_often() {
    let lost = Case::of("STARTED").failing(&[], &[("b", 102)]);
    let node = Some(("b".to_owned(), Action::Reboot, Source::NodeLost));
    assert_eq!(lost.asked("b"), node);
    let once = lost.op("b", ended("failed"), 110);
    assert_eq!(once.asked("b"), node);
    let mut twice = once.op("b", ended("succeeded"), 120);
    assert_eq!(twice.asked("b"), None);
    twice.config.policies[0].window = Duration::from_millis(50);
    assert_eq!(twice.asked("b"), node);
    twice.config.policies[0].action = None;
    assert_eq!(twice.asked("b"), None);
}

#[test]
fn the_first_policy_that_matches_counts() {
    let case = Case::of("STARTED");
    let mut config = config();
    let first = config.policies[0].clone();
    config.policies.insert(
        0,
        PolicyConfig {
            name: "ios".to_owned(),
            processes: vec!["ios".to_owned()],
            triggers: vec![Trigger::Check],
            ..first
        },
    );
    for (of, trigger, name) in [
        (IOS_B, Trigger::Check, "ios"),
        (IOS_B, Trigger::Isolate, "all"),
        ("0x7200000000000001:0xa@b", Trigger::Check, "all"),
        ("b", Trigger::Check, "ios"),
        ("b", Trigger::NodeLost, "all"),
    ] {
        let found = policy(&config, &case.view.tree, &target(of), trigger).unwrap();
        assert_eq!(found.name, name, "{of} {trigger:?}");
    }
}

#[test]
fn the_target_is_no_originator_of_its_own_fence() {
    let mut case = Case::of("STARTED");
    case.peer("c", false);
    let names = |of: &str| {
        let of = target(of);
        originators(&case.fence, &of)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("a"), ["b"]);
    assert_eq!(names(IOS_B), ["a", "b"]);
}
