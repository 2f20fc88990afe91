//! The coordinator as the rest of the daemon sees it: triggers, request files, HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::about::About;
use super::executor::Listed;
use super::model::{
    Action, DeviceName, Ended, NodeName, OpId, Operation, Plan, Refusal, Source, Target,
};
use super::view::FenceView;

/// Commands that may wait; one more is refused.
pub const COMMANDS_MAX: usize = 64;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Its own number, so that asking again is answered by the same operation; none: a new one.
    #[serde(default)]
    pub id: Option<OpId>,
    /// What is to be fenced.
    pub target: Target,
    /// How.
    pub action: Action,
    /// By what it was set off.
    pub source: Source,
    /// By whom, for people.
    pub who: String,
    /// Why, for people.
    pub reason: String,
    /// An equal success this recent is the answer.
    #[serde(default)]
    pub tolerance: Duration,
    /// This device only, without levels.
    #[serde(default)]
    pub device: Option<DeviceName>,
    /// Delay before the first step, in addition.
    #[serde(default)]
    pub delay: Duration,
    /// Gates are passed.
    #[serde(default)]
    pub overridden: bool,
    /// After this long without a start it expires; none: `fence.expire`.
    #[serde(default)]
    pub expire: Option<Duration>,
}

/// A request that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The operation that serves it.
    pub op: OpId,
    /// Whether it joined an operation, or was answered by one that has ended.
    pub merged: bool,
}

/// A request that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{refusal}: {detail}")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// More of it, for people.
    pub detail: String,
}

impl Refused {
    /// With these words.
    pub fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { refusal, detail }
    }

    fn stopping() -> Self {
        Self::new(
            Refusal::Stopping,
            "the coordinator has ended; ask again when the bridge is back",
        )
    }
}

/// What an operation would do, without doing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The target.
    pub target: Target,
    /// The action.
    pub action: Action,
    /// The steps; none if a gate or the lack of a device refuses it.
    pub plan: Option<Plan>,
    /// For each step of each level, in order.
    pub steps: Vec<PlannedStep>,
    /// The longest it can take from its activation to its end, in milliseconds.
    pub worst_ms: u64,
    /// What would hold or refuse it now.
    pub gates: Vec<String>,
}

/// One step of a [`PlanReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Level, 0 where there is no topology.
    pub level: u8,
    /// Its device.
    pub device: DeviceName,
    /// Its action.
    pub action: Action,
    /// Peers that could do it, in the order in which they would be asked, and whether they have
    /// verified it.
    pub peers: Vec<(NodeName, bool)>,
    /// The longest it can take, tries and delays together, in milliseconds.
    pub worst_ms: u64,
    /// What the agent would be given, secrets blotted out.
    pub input: Vec<(String, String)>,
}

/// What a command has changed or found out.
type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// What the coordinator is asked for.
#[derive(Debug)]
pub enum Command {
    /// Fence or unfence.
    Request(Ask, Reply<Taken>),
    /// An operator vouches for it: the target's operation ends confirmed; without one, a node is marked
    /// as fenced.
    Confirm(Target, By, Reply<OpId>),
    /// Lets a held operation go on, past the gates.
    Override(OpId, By, Reply<()>),
    /// Ends an operation between two attempts.
    Cancel(OpId, By, Reply<()>),
    /// Brings a fenced or quarantined node back.
    Release(NodeName, By, Reply<()>),
    /// No fencing of the target, or of anything, for a time; a duration of zero ends it.
    Inhibit(Option<Target>, Duration, By, Reply<()>),
    /// What an operation would do.
    Plan(Target, Action, Reply<PlanReport>),
    /// Looks from this node whether a device can be reached.
    Ping(DeviceName, Reply<Ended>),
    /// Asks a device from this node what it can fence.
    Targets(DeviceName, Reply<(Ended, Vec<Listed>)>),
}

/// Who, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// The way to the coordinator. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FenceHandle {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<FenceView>>,
    about: Arc<About>,
}

impl FenceHandle {
    /// A handle, and what the coordinator's task receives.
    pub fn new(view: watch::Receiver<Arc<FenceView>>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let about = Arc::default();
        let handle = Self {
            commands,
            view,
            about,
        };
        (handle, receiver)
    }

    /// The same, and what people are told of this node.
    #[must_use]
    pub fn with_about(self, about: About) -> Self {
        let about = Arc::new(about);
        Self { about, ..self }
    }

    /// What people are told of this node.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Everything under `fence/`, as last seen.
    pub fn view(&self) -> Arc<FenceView> {
        Arc::clone(&self.view.borrow())
    }

    /// Told whenever the view changes.
    pub fn views(&self) -> watch::Receiver<Arc<FenceView>> {
        self.view.clone()
    }

    /// Asks for a fence. The answer comes when the request is committed, not when it is done.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn request(&self, ask: Ask) -> Result<Taken, Refused> {
        self.ask(|reply| Command::Request(ask, reply)).await
    }

    /// Waits for the end of an operation; its last state, or none if it is not known.
    pub async fn ended(&self, id: &OpId) -> Option<Operation> {
        let mut view = self.view.clone();
        loop {
            let op = view
                .borrow_and_update()
                .ops
                .get(id)
                .map(|op| op.value.clone());
            match op {
                Some(op) if op.ended().is_none() => {}
                // A request is committed before the view has it.
                None => {}
                ended => return ended,
            }
            view.changed().await.ok()?;
        }
    }

    /// Sends any command.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| Refused::stopping())?;
        answer.await.map_err(|_| Refused::stopping())?
    }
}
