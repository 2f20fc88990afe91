//! The coordinator: who, when, which device, from which peer, how often (`rfc/12-fencing.md`).
//!
//! ```text
//!               ┌ command ──── requests and operators ──▶┐
//!  FenceHandle ─┤                                        │  transactions on fence/
//!               └ follower ◀── view of fence/ ◀──────────┤
//!                    │                                   │
//!                    ├▶ driver ── decisions ────────────▶┤
//!                    ├▶ delegate ── start, run, finish ─▶┤
//!                    ├▶ publisher ── what can be reached▶┤
//!                    ├▶ retention                        │
//!  session keeper ── the session of all locks ──────────▶┘
//! ```

mod activate;
mod attempt;
mod command;
mod context;
mod delay;
mod delegate;
mod driver;
mod end;
mod follower;
mod locks;
mod operator;
mod publish;
mod request;
mod retention;
mod seen;
mod session;
mod setup;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use consul_client::Client;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::command::serve;
use self::context::Context;
use self::delegate::Delegate;
use self::driver::Driver;
use self::publish::Publisher;
pub(crate) use self::publish::boot_id;
use self::session::Keeper;
pub use self::session::Lease;
pub use self::setup::{Prepared, prepare, unusable};
use super::audit::{self, Audit};
use super::executor::Executor;
use super::handle::FenceHandle;
use super::model::NodeName;
use super::view::FenceView;
use crate::config::fence::FenceConfig;
use crate::tasks::Tasks;

/// What a coordinator is made of.
pub struct Setup {
    /// `[fence]`.
    pub config: Arc<FenceConfig>,
    /// This node.
    pub node: NodeName,
    /// Consul.
    pub consul: Client,
    /// Bound of one request to Consul, as the client has it.
    pub timeout: Duration,
    /// What runs agents.
    pub executor: Executor,
    /// The audit file.
    pub audit: Audit,
}

/// The running coordinator.
pub struct Coordinator {
    leases: watch::Receiver<Option<Lease>>,
    watchdog: watch::Sender<Option<u64>>,
    task: JoinHandle<()>,
}

impl Coordinator {
    /// Starts it. It runs until `stop` is cancelled, and then ends in order: no new decisions; running
    /// agents are ended and what became of them is written; locks are given up; the session is
    /// destroyed.
    pub fn spawn(setup: Setup, stop: CancellationToken) -> (FenceHandle, Self) {
        let (views, view) = watch::channel(Arc::new(FenceView::default()));
        let (nodes_sender, nodes) = watch::channel(Arc::default());
        let (leases_sender, leases) = watch::channel(None);
        let (watchdog, armed) = watch::channel(None);
        let (handle, commands) = FenceHandle::new(view.clone());
        let context = Context {
            config: setup.config,
            me: setup.node,
            consul: setup.consul,
            timeout: setup.timeout,
            executor: setup.executor,
            views: view,
            nodes,
            leases: leases.clone(),
        };
        let doubts = Arc::new(Notify::new());
        let config = &context.config;
        let times = (config.session_ttl, config.lock_delay);
        let keeper = Keeper::new(&context.consul, times, leases_sender, Arc::clone(&doubts));
        let publisher = Publisher::new(context.clone(), armed, doubts);
        let ends = Ends::default();
        let audit = audit::follow(context.views.clone(), setup.audit, ends.audit.clone());
        let mut tasks = Tasks::default();
        let mut add = |name, task: JoinHandle<()>| tasks.add(name, task);
        let consul = context.consul.clone();
        let work = &ends.work;
        add(
            "view",
            tokio::spawn(follower::follow_view(
                consul.clone(),
                views,
                ends.view.clone(),
            )),
        );
        add(
            "nodes",
            tokio::spawn(follower::follow_nodes(
                consul,
                nodes_sender,
                ends.view.clone(),
            )),
        );
        add("session", tokio::spawn(keeper.run(ends.session.clone())));
        add(
            "publisher",
            tokio::spawn(publisher.run(ends.publisher.clone())),
        );
        add(
            "commands",
            tokio::spawn(serve(context.clone(), commands, work.clone())),
        );
        add(
            "driver",
            tokio::spawn(Driver::new(context.clone()).run(work.clone())),
        );
        add(
            "retention",
            tokio::spawn(retention::prune(context.clone(), work.clone())),
        );
        add("audit", tokio::spawn(audit));
        let delegate = Delegate::new(context);
        add(
            "delegate",
            tokio::spawn(delegate.run(ends.delegate.clone())),
        );
        let task = tokio::spawn(oversee(tasks, ends, stop));
        let coordinator = Self {
            leases,
            watchdog,
            task,
        };
        (handle, coordinator)
    }

    /// The session of all locks, while there is one: what the watchdog renews as well.
    pub fn leases(&self) -> watch::Receiver<Option<Lease>> {
        self.leases.clone()
    }

    /// Where the watchdog says within how many milliseconds after a beat it acts, while it is armed. It
    /// is published to the peers.
    pub fn watchdog(&self) -> watch::Sender<Option<u64>> {
        self.watchdog.clone()
    }

    /// The task that is over when all of it has ended.
    pub fn into_task(self) -> JoinHandle<()> {
        self.task
    }
}

/// What ends the tasks, each at its time.
#[derive(Default)]
struct Ends {
    /// Commands, driver, retention.
    work: CancellationToken,
    delegate: CancellationToken,
    publisher: CancellationToken,
    session: CancellationToken,
    audit: CancellationToken,
    view: CancellationToken,
}

/// Waits for the end, and ends the tasks in order. One that ends by itself ends all of them: the daemon
/// sees it, and whoever started it starts it again.
async fn oversee(mut tasks: Tasks, ends: Ends, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        (name, ended) = tasks.ended() => error!(task = name, ?ended, "a task of fencing has ended"),
    }
    ends.work.cancel();
    for name in ["commands", "driver", "retention"] {
        tasks.join(name).await;
    }
    ends.delegate.cancel();
    tasks.join("delegate").await;
    ends.publisher.cancel();
    tasks.join("publisher").await;
    ends.session.cancel();
    tasks.join("session").await;
    ends.audit.cancel();
    tasks.join("audit").await;
    ends.view.cancel();
    tasks.join("view").await;
    tasks.join("nodes").await;
    info!("fencing has stopped");
}
