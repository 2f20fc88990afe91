//! What is shown of instances. Readers wait for nobody: not for the supervisor, and not for an instance.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};

use crate::plugin::event::{UnixMillis, now};
use crate::plugin::feed::Line;
use crate::plugin::instance::{Failure, InstanceName, Order, Starting};
use crate::plugin::thread::{Beat, Run};

/// Causes that are kept for each instance.
const CAUSES_MAX: usize = 8;

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is being prepared or started.
    Starting,
    /// It is ready.
    Running,
    /// It has ended by itself, and is started again after a pause.
    Failed,
    /// It has been told to stop.
    Stopping,
    /// It was told to stop and has not; its thread is abandoned. Nothing takes its place while that lasts.
    Stuck,
    /// It is gone, and what comes next is not there yet.
    Stopped,
}

/// Why an instance has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// When.
    pub at: UnixMillis,
    /// In words.
    pub error: String,
}

/// How an instance is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceStatus {
    /// Its name.
    pub instance: InstanceName,
    /// The word of its kind.
    pub kind: &'static str,
    /// Where it is in its life.
    pub state: State,
    /// Since when.
    pub since: UnixMillis,
    /// Whether its thread has not come to its turn for some time: it spins or blocks.
    pub hanging: bool,
    /// How often it was started again after a failure.
    pub restarts: u64,
    /// When it is started again, if it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<UnixMillis>,
    /// Events that it was not told of because its feed was full.
    pub missed: u64,
    /// Why it has failed, the last eight times, oldest first.
    pub causes: Vec<Cause>,
    /// What its kind adds.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// What is known of the thread that runs.
#[derive(Debug, Clone)]
struct Current {
    beat: Beat,
    starting: Starting,
    orders: mpsc::Sender<Order>,
    line: Arc<Line>,
    stop_bound: Duration,
}

#[derive(Debug)]
struct Shown {
    kind: &'static str,
    state: State,
    since: UnixMillis,
    restarts: u64,
    retry_at: Option<UnixMillis>,
    missed_before: u64,
    causes: VecDeque<Cause>,
    /// What the first try of the present configuration came to.
    first: Option<Result<(), Failure>>,
    current: Option<Current>,
}

/// One instance as it is shown. Kept over restarts and changes of its configuration.
#[derive(Debug)]
pub(crate) struct Slot(watch::Sender<Shown>);

impl Slot {
    fn new(kind: &'static str) -> Self {
        Self(watch::Sender::new(Shown {
            kind,
            state: State::Starting,
            since: now(),
            restarts: 0,
            retry_at: None,
            missed_before: 0,
            causes: VecDeque::new(),
            first: None,
            current: None,
        }))
    }

    pub(crate) fn state(&self) -> State {
        self.0.borrow().state
    }

    pub(super) fn enter(&self, state: State) {
        self.0.send_modify(|shown| {
            shown.state = state;
            shown.since = now();
            shown.retry_at = None;
            match state {
                State::Running => drop(shown.first.get_or_insert(Ok(()))),
                State::Stopped => shown.rest(),
                _ => {}
            }
        });
    }

    pub(super) fn started(&self, run: &Run, stop_bound: Duration) {
        let current = Current {
            beat: run.beat.clone(),
            starting: run.starting.clone(),
            orders: run.orders.clone(),
            line: Arc::clone(&run.line),
            stop_bound,
        };
        self.0.send_modify(|shown| {
            shown.rest();
            shown.current = Some(current);
        });
    }

    pub(super) fn restarted(&self) {
        self.0.send_modify(|shown| shown.restarts += 1);
    }

    /// Keeps a cause, before what it leads to is done.
    pub(super) fn note(&self, failure: &Failure) {
        self.0.send_modify(|shown| {
            shown.first.get_or_insert_with(|| Err(failure.clone()));
            if shown.causes.len() >= CAUSES_MAX {
                shown.causes.pop_front();
            }
            shown.causes.push_back(Cause {
                at: now(),
                error: failure.0.clone(),
            });
        });
    }

    /// The thread is gone, and there is a pause before the next.
    pub(super) fn pause(&self, pause: Duration) {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.enter(State::Failed);
        self.0.send_modify(|shown| {
            shown.rest();
            shown.retry_at = Some(now().saturating_add(pause));
        });
    }

    /// Waits for what the first try of the present configuration came to.
    pub(crate) async fn first(&self) -> Result<(), Failure> {
        let mut watch = self.0.subscribe();
        let known = |shown: &Shown| shown.first.is_some() || shown.state == State::Stopped;
        match watch.wait_for(known).await {
            Ok(shown) => shown
                .first
                .clone()
                .unwrap_or_else(|| Err(Failure("was stopped".to_owned()))),
            Err(_) => Err(Failure("was removed".to_owned())),
        }
    }

    fn status(&self, name: &InstanceName, hanging: Duration) -> InstanceStatus {
        let shown = self.0.borrow();
        let current = shown.current.as_ref();
        InstanceStatus {
            instance: name.clone(),
            kind: shown.kind,
            state: shown.state,
            since: shown.since,
            hanging: current.is_some_and(|current| current.beat.age() >= hanging),
            restarts: shown.restarts,
            retry_at: shown.retry_at,
            missed: shown.missed_before + current.map_or(0, |current| current.line.missed()),
            causes: shown.causes.iter().cloned().collect(),
            detail: current.map_or_else(Default::default, |current| current.starting.detail()),
        }
    }
}

impl Shown {
    /// Lets go of a thread that is no more.
    fn rest(&mut self) {
        if let Some(current) = self.current.take() {
            self.missed_before += current.line.missed();
        }
    }
}

/// All instances as they are shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<InstanceName, Arc<Slot>>>>);

impl Board {
    /// The place of an instance that is about to be started.
    pub(super) fn place(&self, name: &InstanceName, kind: Option<&'static str>) -> Arc<Slot> {
        let mut slots = self.lock();
        let slot = slots
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Slot::new(kind.unwrap_or_default())));
        slot.0.send_modify(|shown| {
            shown.kind = kind.unwrap_or(shown.kind);
            shown.state = State::Starting;
            shown.since = now();
            shown.first = None;
        });
        Arc::clone(slot)
    }

    pub(super) fn retain(&self, keep: impl Fn(&InstanceName) -> bool) {
        self.lock().retain(|name, _| keep(name));
    }

    pub(super) fn status(&self, hanging: Duration) -> Vec<InstanceStatus> {
        let slots = self.lock();
        let status = slots.iter().map(|(name, slot)| slot.status(name, hanging));
        status.collect()
    }

    /// Where orders for an instance go, if it is there; none within: no thread of it runs.
    pub(super) fn orders(&self, name: &InstanceName) -> Option<Option<mpsc::Sender<Order>>> {
        let slot = Arc::clone(self.lock().get(name)?);
        let shown = slot.0.borrow();
        let running = shown.state == State::Running;
        let current = shown.current.as_ref().filter(|_| running);
        Some(current.map(|current| current.orders.clone()))
    }

    /// How long it may take to stop all of them.
    pub(crate) fn stop_bound(&self) -> Duration {
        let slots = self.lock();
        let bound = |slot: &Arc<Slot>| slot.0.borrow().current.as_ref().map(|c| c.stop_bound);
        slots.values().filter_map(bound).max().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceName, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
