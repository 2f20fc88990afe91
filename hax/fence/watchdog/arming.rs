//! Whether peers may count on the watchdog of this node: that what it ends is all that may write.

use std::time::Duration;

use halink::Fid;
use tokio::time::Instant;
use tracing::{info, warn};

use super::process::Standing;
use crate::config::fence::WatchdogAction;
use crate::death::Guarded;

/// How long processes that were running before may take to link themselves to a bridge whose watchdog
/// process does not know of them.
const LINKING_MAX: Duration = Duration::from_secs(60);

/// What decides it.
#[derive(Debug)]
pub(super) struct Arming {
    /// The action ends what could not be killed.
    whole_node: bool,
    death_watch: bool,
    /// The watchdog process was there before: it knows the processes of an earlier run.
    was_there: bool,
    since: Instant,
    standing: Standing,
    /// What was logged last.
    said: Option<String>,
}

impl Arming {
    pub(super) fn new(action: &WatchdogAction, death_watch: bool, was_there: bool) -> Self {
        Self {
            whole_node: *action != WatchdogAction::Processes,
            death_watch,
            was_there,
            since: Instant::now(),
            standing: Standing::default(),
            said: None,
        }
    }

    pub(super) fn stands(&mut self, standing: Standing) {
        self.standing = standing;
    }

    /// Whether peers may count on it. Logs each reason why not once.
    pub(super) fn may_be_counted_on(
        &mut self,
        guarded: &Guarded,
        unlinked: &[Fid],
        overdue: bool,
    ) -> bool {
        if !self.standing.armed {
            // No beat has come through; the beat says so.
            return false;
        }
        let why = self.why_not(guarded, unlinked, overdue);
        if why != self.said {
            match &why {
                Some(why) => warn!(why, "peers are told not to count on the watchdog"),
                None => info!("peers may count on the watchdog"),
            }
            self.said.clone_from(&why);
        }
        why.is_none()
    }

    fn why_not(&self, guarded: &Guarded, unlinked: &[Fid], overdue: bool) -> Option<String> {
        if overdue {
            return Some("the watchdog process does not answer".to_owned());
        }
        if self.whole_node {
            return None;
        }
        if !self.death_watch {
            return Some("ha.death_watch = false: no process is ever identified".to_owned());
        }
        if guarded.full {
            return Some("there are more processes than the death watch follows".to_owned());
        }
        if let Some((process, reason)) = guarded.loose.first_key_value() {
            return Some(format!(
                "{process} could not be ended for certain: {reason}"
            ));
        }
        if let Some(missing) = self.standing.missing.first() {
            return Some(format!("the watchdog process cannot hold {missing}"));
        }
        let process = unlinked.first()?;
        let waits = !self.was_there && self.since.elapsed() < LINKING_MAX;
        waits.then(|| format!("{process} may be running and is not linked yet"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use halink::FidType;

    use super::*;

    const IOS: Fid = Fid::typed(FidType::Process, 1, 2);

    fn arming(action: WatchdogAction, was_there: bool) -> Arming {
        let mut arming = Arming::new(&action, true, was_there);
        arming.stands(Standing {
            armed: true,
            ..Standing::default()
        });
        arming
    }

    fn loose() -> Guarded {
        Guarded {
            loose: BTreeMap::from([(IOS, "it is in a container".to_owned())]),
            ..Guarded::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_ended_for_certain_is_not_promised() {
        let processes = || arming(WatchdogAction::Processes, true);
        let fine = Guarded::default();
        assert!(processes().may_be_counted_on(&fine, &[], false));
        assert!(!processes().may_be_counted_on(&loose(), &[], false));
        assert!(!processes().may_be_counted_on(&fine, &[], true));
        let full = Guarded {
            full: true,
            ..Guarded::default()
        };
        assert!(!processes().may_be_counted_on(&full, &[], false));
        let mut missing = processes();
        missing.standing.missing.push("it".to_owned());
        assert!(!missing.may_be_counted_on(&fine, &[], false));
        let mut blind = processes();
        blind.death_watch = false;
        assert!(!blind.may_be_counted_on(&fine, &[], false));
        let mut quiet = processes();
        quiet.standing.armed = false;
        assert!(!quiet.may_be_counted_on(&fine, &[], false));
        // The whole node goes.
        assert!(arming(WatchdogAction::Reboot, true).may_be_counted_on(&loose(), &[], false));
    }

    #[tokio::test(start_paused = true)]
    async fn processes_of_before_have_a_minute_to_link_themselves() {
        let fine = Guarded::default();
        let known = &mut arming(WatchdogAction::Processes, true);
        assert!(known.may_be_counted_on(&fine, &[IOS], false));
        let fresh = &mut arming(WatchdogAction::Processes, false);
        assert!(!fresh.may_be_counted_on(&fine, &[IOS], false));
        assert!(fresh.may_be_counted_on(&fine, &[], false));
        tokio::time::advance(LINKING_MAX).await;
        assert!(fresh.may_be_counted_on(&fine, &[IOS], false));
    }
}
