//! What the table makes of what is heard, in every order.

use std::collections::HashSet;
use std::time::Instant;

use halink::{Fid, LinkId, ProcessType};

use super::process;
use crate::cluster::ConfTree;
use crate::death::{Dead, Deaths, Evidence, Fall, Heard, Unproven, WatchState};

const M0D: Option<(ProcessType, bool)> = Some((ProcessType::M0d, false));
const STOPPED: Option<(ProcessType, bool)> = Some((ProcessType::M0d, true));
const MKFS: Option<(ProcessType, bool)> = Some((ProcessType::M0mkfs, false));
const MKFS_STOPPED: Option<(ProcessType, bool)> = Some((ProcessType::M0mkfs, true));

const FAILED: Fall = Fall::Failed { confirmed: true };

fn dead(link: u64, process: Fid, pid: u64) -> Dead {
    Dead {
        link: LinkId(link),
        process,
        pid,
        noticed: Instant::now(),
    }
}

/// A table in which process 2 is watched: link 1, pid 100.
fn watched() -> Deaths {
    let deaths = Deaths::new(8);
    assert!(matches!(
        deaths.heard(LinkId(1), process(2), 100, M0D),
        Heard::New(_)
    ));
    deaths.proven(LinkId(1), 100, Ok(Evidence::Arguments));
    deaths
}

fn is_dead(deaths: &Deaths) -> bool {
    deaths.confirmed(process(2)).is_some()
}

#[test]
fn the_last_word_decides_what_a_death_means() {
    for (words, last_word, fall) in [
        (vec![M0D], None, FAILED),
        (vec![M0D, STOPPED], None, Fall::Orderly),
        (vec![MKFS], None, Fall::Mkfs),
        (vec![MKFS, MKFS_STOPPED], None, Fall::Orderly),
        // What was said over this link is newer than what KV has.
        (vec![M0D], STOPPED, FAILED),
        (vec![None], None, FAILED),
        (vec![None], M0D, FAILED),
        (vec![None], STOPPED, Fall::Orderly),
        (vec![None], MKFS, Fall::Mkfs),
        (vec![None, STOPPED], M0D, Fall::Orderly),
    ] {
        let deaths = Deaths::new(8);
        let case = format!("{words:?} {last_word:?}");
        for said in words {
            deaths.heard(LinkId(1), process(2), 100, said);
        }
        let outcome = deaths.fallen(&dead(1, process(2), 100), true, last_word);
        assert_eq!(outcome, fall, "{case}");
        assert_eq!(is_dead(&deaths), fall == FAILED, "{case}");
        // A process dies once.
        let again = deaths.fallen(&dead(1, process(2), 100), true, last_word);
        assert_eq!(again, Fall::Nothing, "{case}");
    }
}

#[test]
fn the_dead_stay_dead_until_their_fid_speaks_again() {
    let fallen = || {
        let deaths = watched();
        assert_eq!(deaths.fallen(&dead(1, process(2), 100), true, None), FAILED);
        deaths
    };
    let deaths = fallen();
    // Messages that were under way when it died.
    assert!(matches!(
        deaths.heard(LinkId(1), process(2), 100, M0D),
        Heard::Known
    ));
    deaths.forget(LinkId(1));
    deaths.reborn(process(3));
    deaths.heard(LinkId(5), process(3), 100, M0D);
    assert!(is_dead(&deaths));
    assert_eq!(deaths.confirmed(process(2)).unwrap().dead().pid, 100);

    deaths.reborn(process(2));
    assert!(!is_dead(&deaths));

    for (link, pid) in [(2, 101), (1, 101), (2, 100)] {
        let deaths = fallen();
        let heard = deaths.heard(LinkId(link), process(2), pid, M0D);
        assert!(matches!(heard, Heard::New(_)), "link {link} pid {pid}");
        assert!(!is_dead(&deaths), "link {link} pid {pid}");
    }
}

#[test]
fn late_messages_after_the_link_has_gone_do_not_raise_the_dead() {
    let deaths = watched();
    deaths.fallen(&dead(1, process(2), 100), true, None);
    deaths.forget(LinkId(1));
    deaths.heard(LinkId(1), process(2), 100, M0D);
    assert!(is_dead(&deaths));
}

#[test]
fn a_death_that_is_noticed_after_the_next_incarnation_spoke_does_not_mark_the_fid() {
    let deaths = Deaths::new(8);
    let Heard::New(wake) = deaths.heard(LinkId(1), process(2), 100, M0D) else {
        panic!("not new");
    };
    deaths.proven(LinkId(1), 100, Ok(Evidence::Socket));
    deaths.reborn(process(2));
    assert!(wake.is_cancelled());
    deaths.heard(LinkId(2), process(2), 101, M0D);
    assert_eq!(
        deaths.fallen(&dead(1, process(2), 100), true, None),
        Fall::Failed { confirmed: false }
    );
    assert!(!is_dead(&deaths));
    // The new one is watched on its own.
    assert_eq!(deaths.fallen(&dead(2, process(2), 101), true, None), FAILED);
}

#[test]
fn a_link_or_an_incarnation_that_has_gone_ends_its_watch() {
    let deaths = watched();
    deaths.reborn(process(2));
    let alive = deaths.fallen(&dead(1, process(2), 100), false, None);
    assert_eq!(alive, Fall::Nothing);
    assert_eq!(deaths.state(LinkId(1)), Some(WatchState::Ended));

    let deaths = watched();
    deaths.forget(LinkId(1));
    assert_eq!(
        deaths.fallen(&dead(1, process(2), 100), true, None),
        Fall::Nothing
    );
    assert_eq!(deaths.state(LinkId(1)), None);
    assert!(!is_dead(&deaths));
}

#[test]
fn a_pid_that_changes_on_a_link_is_another_process() {
    let deaths = watched();
    let heard = deaths.heard(LinkId(1), process(2), 101, M0D);
    assert!(matches!(heard, Heard::New(_)));
    deaths.proven(LinkId(1), 100, Err(Unproven::Stranger));
    assert_eq!(deaths.state(LinkId(1)), Some(WatchState::Proving));
    let old = deaths.fallen(&dead(1, process(2), 100), true, None);
    assert_eq!((old, is_dead(&deaths)), (Fall::Nothing, false));
}

#[test]
fn no_more_are_watched_than_allowed() {
    let deaths = Deaths::new(2);
    for link in 1..=2 {
        let heard = deaths.heard(LinkId(link), process(link), link, M0D);
        assert!(matches!(heard, Heard::New(_)));
    }
    let refused = deaths.heard(LinkId(3), process(3), 3, M0D);
    assert!(matches!(refused, Heard::Refused));
    assert!(matches!(
        deaths.heard(LinkId(2), process(2), 2, STOPPED),
        Heard::Known
    ));
    deaths.forget(LinkId(1));
    let taken = deaths.heard(LinkId(3), process(3), 3, M0D);
    assert!(matches!(taken, Heard::New(_)));
}

#[test]
fn the_services_of_the_dead_are_dead() {
    let conf = [
        ("m0conf/nodes/n/processes/2/services/ios", "5"),
        ("m0conf/nodes/n/processes/3/services/ios", "7"),
    ];
    let tree = ConfTree::parse(conf.map(|(key, value)| (key, value.as_bytes())));
    let deaths = watched();
    assert_eq!(deaths.objects(&tree), HashSet::new());
    deaths.fallen(&dead(1, process(2), 100), true, None);
    let service = Fid::typed(halink::FidType::Service, 1, 5);
    assert_eq!(deaths.objects(&tree), HashSet::from([process(2), service]));
}

/// What nobody could end for certain is told, and forgotten with its link.
#[test]
fn who_cannot_be_ended_for_certain_is_loose() {
    let loose = |deaths: &Deaths| Vec::from_iter(deaths.guarded().loose.into_keys());
    let deaths = Deaths::new(2);
    assert!(!deaths.guarded().full);
    let _ = deaths.heard(LinkId(1), process(2), 100, M0D);
    // It is being looked at.
    assert_eq!(loose(&deaths), []);
    for (reason, is_loose) in [
        (Unproven::NoPid, true),
        (Unproven::Namespace, true),
        (Unproven::Stranger, true),
        (Unproven::Elsewhere, true),
        (Unproven::Died, false),
        (Unproven::NoProcess, false),
    ] {
        deaths.proven(LinkId(1), 100, Err(reason));
        assert_eq!(loose(&deaths) == [process(2)], is_loose, "{reason}");
    }
    // It was identified, and there was no place to hold it.
    deaths.proven(LinkId(1), 100, Ok(Evidence::Arguments));
    assert_eq!(loose(&deaths), [process(2)]);
    deaths.forget(LinkId(1));
    assert_eq!(loose(&deaths), []);
    for (link, key) in [(2, 3), (3, 4)] {
        let _ = deaths.heard(LinkId(link), process(key), 100 + key, M0D);
    }
    assert!(deaths.guarded().full);
}
