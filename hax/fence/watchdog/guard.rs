//! The thread that acts when no beat comes: it needs neither the runtime nor Consul.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::error;

use super::act::Act;
use crate::fence::executor::BootInstant;

/// The clock goes on while the machine sleeps, which the wait does not notice by itself.
const SLICE: Duration = Duration::from_millis(500);

/// The deadline, and who guards it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    /// It acts then; none: it has acted, and waits for a beat.
    deadline: Option<BootInstant>,
    /// There was a beat: peers may count on it.
    armed: bool,
    /// It acts at once, for this reason.
    strike: Option<String>,
    /// It has acted last then.
    acted: Option<BootInstant>,
    quit: bool,
}

impl Guard {
    /// Starts the thread. Without a beat it acts `first` from now: an earlier run of the daemon may have
    /// promised it.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(first: Duration, act: Act) -> std::io::Result<(Self, JoinHandle<()>)> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                deadline: Some(BootInstant::now().after(first)),
                armed: false,
                strike: None,
                acted: None,
                quit: false,
            }),
            wake: Condvar::new(),
        });
        let guard = Self(shared);
        let watching = guard.clone();
        let thread = std::thread::Builder::new().name("watchdog".to_owned());
        let thread = thread.spawn(move || watching.watch(&act))?;
        Ok((guard, thread))
    }

    /// A beat that was sent then: it acts `ttl` later, unless another comes. A beat that was sent before
    /// it acted says nothing of what is now. Returns whether it counts.
    pub fn beat(&self, sent: BootInstant, ttl: Duration) -> bool {
        let mut state = self.lock();
        if state.acted.is_some_and(|acted| sent <= acted) || state.strike.is_some() {
            return false;
        }
        let deadline = sent.after(ttl);
        state.deadline = Some(state.deadline.map_or(deadline, |known| known.max(deadline)));
        state.armed = true;
        true
    }

    /// Acts at once.
    pub fn strike(&self, why: &str) {
        self.lock().strike = Some(why.to_owned());
        self.0.wake.notify_all();
    }

    /// Whether it has acted, and no beat has counted since.
    pub fn has_acted(&self) -> bool {
        let state = self.lock();
        state.deadline.is_none() && state.acted.is_some()
    }

    /// Ends the thread without acting: the daemon stops in order.
    pub fn quit(&self) {
        self.lock().quit = true;
        self.0.wake.notify_all();
    }

    fn watch(&self, act: &Act) {
        loop {
            let mut state = self.lock();
            let (why, armed) = loop {
                if state.quit {
                    return;
                }
                let now = BootInstant::now();
                let over = state.deadline.is_some_and(|deadline| deadline <= now);
                let struck = state.strike.clone();
                if let Some(why) = struck {
                    break (why, state.armed);
                }
                if over {
                    let why = "no beat has reached Consul within the TTL of its session";
                    break (why.to_owned(), state.armed);
                }
                let left = state.deadline.map_or(SLICE, |deadline| {
                    deadline.0.saturating_sub(now.0).min(SLICE)
                });
                let waited = self.0.wake.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            };
            drop(state);
            error!(why, armed, "THE WATCHDOG ACTS");
            act.run(armed);
            let mut state = self.lock();
            state.acted = Some(BootInstant::now());
            state.deadline = None;
            state.strike = None;
        }
    }

    /// No code panics with the lock held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::act::tests::{Fake, act_on};
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(3_600);

    fn wait_for(what: &str, met: impl Fn() -> bool) {
        for _ in 0..3_000 {
            if met() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        panic!("in vain: {what}");
    }

    #[test]
    fn it_acts_without_beats_and_again_only_after_one() {
        let fake = Fake::default();
        let (guard, thread) = Guard::spawn(SOON, act_on(&fake)).unwrap();
        wait_for("the first kill", || guard.has_acted());
        assert_eq!(fake.kills(), 1);
        let old = BootInstant(Duration::ZERO);
        assert!(!guard.beat(old, NEVER), "it was sent before");
        assert!(guard.beat(BootInstant::now(), SOON));
        wait_for("the second kill", || fake.kills() == 2);
        guard.quit();
        thread.join().unwrap();
    }

    #[test]
    fn beats_keep_it_quiet_and_a_strike_does_not_wait() {
        let fake = Fake::default();
        let (guard, thread) = Guard::spawn(NEVER, act_on(&fake)).unwrap();
        assert!(guard.beat(BootInstant::now(), NEVER));
        assert_eq!(fake.kills(), 0);
        guard.strike("a peer has said so");
        wait_for("the kill", || guard.has_acted());
        assert_eq!(fake.kills(), 1);
        guard.quit();
        thread.join().unwrap();
        assert_eq!(fake.kills(), 1);
    }
}
