//! When the watchdog process acts.

/// The deadline, and what has come of it. Instants are milliseconds of CLOCK_BOOTTIME.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    /// It acts then. None: nobody counts on it.
    deadline: Option<u64>,
    /// It acts at once, for this reason.
    strike: Option<String>,
    /// It has acted last then.
    acted: Option<u64>,
}

/// What it acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) why: String,
    /// Peers count on it.
    pub(super) armed: bool,
}

impl State {
    /// A beat. One that was sent before it acted says nothing of what is now. Returns whether it counts.
    pub(super) fn beat(&mut self, sent: u64, deadline: u64) -> bool {
        if self.acted.is_some_and(|acted| sent <= acted) || self.strike.is_some() {
            return false;
        }
        self.deadline = self.deadline.max(Some(deadline));
        true
    }

    /// Acts at once, unless it has acted and no beat has counted since.
    pub(super) fn strike(&mut self, why: String) {
        if !self.has_acted() {
            self.strike = Some(why);
        }
    }

    /// Nobody counts on it any more. What it was told to do at once it still does.
    pub(super) fn disarm(&mut self) {
        self.deadline = None;
    }

    /// What is to be done now.
    pub(super) fn due(&self, now: u64) -> Option<Due> {
        let armed = self.is_armed();
        if let Some(why) = &self.strike {
            let why = why.clone();
            return Some(Due { why, armed });
        }
        let why = "no beat has reached Consul within the TTL of its session".to_owned();
        self.deadline
            .is_some_and(|deadline| deadline <= now)
            .then_some(Due { why, armed })
    }

    /// It was done by now.
    pub(super) fn has_done(&mut self, now: u64) {
        *self = Self {
            acted: Some(now),
            ..Self::default()
        };
    }

    pub(super) fn is_armed(&self) -> bool {
        self.deadline.is_some()
    }

    /// Whether it has acted, and no beat has counted since.
    pub(super) fn has_acted(&self) -> bool {
        self.deadline.is_none() && self.acted.is_some()
    }

    /// Milliseconds until it acts.
    pub(super) fn left(&self, now: u64) -> Option<u64> {
        self.deadline.map(|deadline| deadline.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_acts_when_no_beat_comes_and_again_only_after_one() {
        let mut state = State::default();
        assert_eq!(state.due(1_000), None, "nobody has counted on it yet");
        assert!(state.beat(1_000, 11_000));
        // A later answer to an earlier beat takes nothing away.
        assert!(state.beat(900, 10_900));
        assert_eq!(state.due(10_999), None);
        assert!(state.due(11_000).unwrap().armed);
        state.has_done(12_000);
        assert!(state.has_acted() && state.due(99_000).is_none());
        assert!(!state.beat(11_500, 99_000), "it was sent before");
        assert!(state.beat(12_001, 22_001) && !state.has_acted());
    }

    #[test]
    fn a_strike_does_not_wait_and_is_struck_once() {
        let mut state = State::default();
        state.beat(1_000, 11_000);
        state.strike("a peer has said so".to_owned());
        assert!(!state.beat(1_001, 11_001));
        assert!(state.due(1_002).unwrap().armed);
        state.has_done(1_003);
        state.strike("it is still there".to_owned());
        assert_eq!(state.due(1_004), None);
    }

    #[test]
    fn who_is_disarmed_only_strikes() {
        let mut state = State::default();
        state.beat(1_000, 11_000);
        state.disarm();
        assert!(!state.is_armed() && state.due(99_000).is_none());
        state.strike("now".to_owned());
        assert!(!state.due(99_000).unwrap().armed);
    }
}
