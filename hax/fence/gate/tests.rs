use std::time::Duration;

use proptest::prelude::*;

use crate::config::fence::{FenceConfig, Readmit};
use crate::fence::model::{
    Action, Activation, Inhibit, NodeRecord, Operation, Phase, Refusal, Source, UnixMillis,
};
use crate::fence::view::{FenceView, Stored};

use super::{GUARD_MAX, Verdict, activated, admit, breaks_loop};

fn config() -> FenceConfig {
    let minute = Duration::from_secs(60);
    FenceConfig {
        session_ttl: minute,
        lock_delay: minute,
        startup_grace: minute,
        expire: minute,
        held_max: 2 * minute,
        storm_targets: 2,
        storm_percent: 50,
        storm_window: minute,
        loop_count: 2,
        loop_window: minute,
        tolerance: minute,
        action: Action::Reboot,
        history_max: 9,
        history_age: minute,
        audit_file: "/a".into(),
        drill_interval: minute,
        agent_dir: "/a".into(),
        boot_id_file: "/a".into(),
        readmit: Readmit::Operator,
        devices: vec![],
        levels: vec![],
        policies: vec![],
        files: None,
    }
}

fn op(target: &str, action: Action, at: u64) -> Operation {
    let text = format!(
        r#"{{"id":"00000000-0000-7000-8000-000000000001","target":"{target}","action":"{}",
            "origin":{{"node":"a","source":"node-lost","who":"","reason":"","at":{at}}},
            "options":{{"expire_ms":60000}},"driver":"a","phase":{{"phase":"requested"}}}}"#,
        action.as_str()
    );
    serde_json::from_str(&text).unwrap()
}

fn recent(view: &mut FenceView, targets: &[(&str, u64)]) {
    let activation = |(target, at): &(&str, u64)| Activation {
        target: target.parse().unwrap(),
        at: UnixMillis(*at),
    };
    view.guard.value.recent = targets.iter().map(activation).collect();
}

fn verdict(view: &FenceView, op: &Operation, now: u64) -> Verdict {
    admit(&config(), view, op, 8, UnixMillis(now))
}

#[test]
fn the_storm_guard_counts_nodes_and_lets_go_when_there_is_room() {
    let mut view = FenceView::default();
    recent(&mut view, &[("n1", 0), ("0x7200000000000001:0x2@n1", 1)]);
    assert_eq!(verdict(&view, &op("n2", Action::Off, 2), 2), Verdict::Pass);
    recent(&mut view, &[("n1", 0), ("n2", 1)]);
    let mut third = op("n3", Action::Off, 2);
    assert!(matches!(verdict(&view, &third, 2), Verdict::Hold(_)));
    assert_eq!(verdict(&view, &op("n1", Action::Off, 2), 2), Verdict::Pass);
    third.phase = Phase::Held {
        reason: String::new(),
        since: UnixMillis(2),
    };
    assert!(matches!(verdict(&view, &third, 59_999), Verdict::Hold(_)));
    assert_eq!(verdict(&view, &third, 60_001), Verdict::Pass);
    assert_eq!(verdict(&view, &third, 120_002), Verdict::Expire);
    third.options.overridden = Some("who".to_owned());
    assert_eq!(verdict(&view, &third, 2), Verdict::Pass);
    // One of one node may always be fenced.
    recent(&mut view, &[]);
    let one = op("n", Action::Off, 0);
    assert_eq!(
        admit(&config(), &view, &one, 1, UnixMillis(0)),
        Verdict::Pass
    );
}

#[test]
fn what_is_too_old_never_fires() {
    let view = FenceView::default();
    let mut file = op("n", Action::Off, 0);
    assert_eq!(verdict(&view, &file, 59_999), Verdict::Pass);
    assert_eq!(verdict(&view, &file, 60_000), Verdict::Expire);
    file.phase = Phase::Held {
        reason: String::new(),
        since: UnixMillis(1),
    };
    assert_eq!(verdict(&view, &file, 60_000), Verdict::Pass);
    file.origin.source = Source::Files;
    assert_eq!(verdict(&view, &file, 60_000), Verdict::Expire);
    // From a future that is too far ahead to be a difference of clocks.
    assert_eq!(
        verdict(&view, &op("n", Action::Off, 90_000), 0),
        Verdict::Expire
    );
}

#[test]
fn an_inhibit_counts_until_its_time_and_not_for_an_override() {
    for name in ["n", "*"] {
        let mut view = FenceView::default();
        let value = Inhibit {
            until: UnixMillis(50),
            who: String::new(),
            reason: String::new(),
        };
        view.inhibits.insert(
            name.to_owned(),
            Stored {
                value,
                index: consul_client::Index(1),
            },
        );
        let refused = |verdict| matches!(verdict, Verdict::Refuse(Refusal::Inhibited, _));
        for target in ["n", "0x7200000000000001:0x2@n"] {
            let mut op = op(target, Action::Off, 0);
            assert!(refused(verdict(&view, &op, 49)), "{name} {target}");
            assert_eq!(verdict(&view, &op, 50), Verdict::Pass);
            op.options.overridden = Some("who".to_owned());
            assert_eq!(verdict(&view, &op, 49), Verdict::Pass);
        }
    }
}

#[test]
fn a_quarantined_node_is_brought_back_by_an_operator_only() {
    let mut view = FenceView::default();
    let value = NodeRecord {
        quarantined: Some("loop".to_owned()),
        ..NodeRecord::default()
    };
    assert!(!breaks_loop(
        &config(),
        &view,
        &"n".parse().unwrap(),
        UnixMillis(0)
    ));
    view.nodes.insert(
        "n".parse().unwrap(),
        Stored {
            value,
            index: consul_client::Index(1),
        },
    );
    let mut on = op("n", Action::On, 0);
    let refused = verdict(&view, &on, 0);
    assert!(matches!(refused, Verdict::Refuse(Refusal::Quarantined, _)));
    on.origin.source = Source::Operator;
    assert_eq!(verdict(&view, &on, 0), Verdict::Pass);
    assert!(breaks_loop(
        &config(),
        &view,
        &"n".parse().unwrap(),
        UnixMillis(0)
    ));
}

proptest! {
    #[test]
    fn the_guard_is_bounded_and_no_clock_shuts_it_for_good(
        times in prop::collection::vec(any::<u64>(), 1..40), now in 0..u64::MAX / 2, copies in 1..40usize,
    ) {
        let mut view = FenceView::default();
        let old: Vec<_> = times.iter().map(|time| ("n", *time)).cycle().take(times.len() * copies).collect();
        recent(&mut view, &old);
        let asked = op("m", Action::Off, now);
        let next = activated(&config(), &view.guard.value, &asked, UnixMillis(now));
        prop_assert!(next.recent.len() <= GUARD_MAX);
        prop_assert_eq!(next.recent.last().map(|last| last.at), Some(UnixMillis(now)));
        // Two windows later nothing that was written now, or that was ahead, counts.
        let later = UnixMillis(now + 120_000);
        let next = activated(&config(), &next, &asked, later);
        prop_assert_eq!(next.recent.len(), 1);
    }
}
