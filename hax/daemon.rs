//! `hax run`: the tasks of the daemon, how they start and in which order they end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use consul_client::Client;
use halink::{Events, Interface, InterfaceConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::bridge::{
    BridgeHandle, Counters, Lane, Links, Outbox, Parts, Phase, Record, RetryPolicy, Router, Work,
};
use crate::cluster::{Leader, LeaderTask, View};
use crate::config::Config;
use crate::dispatch::Dispatcher;
use crate::tasks::Tasks;
use crate::{consul, http, version};

/// How long the parts may take to end, all together; then the process ends without them.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Runs the bridge until SIGTERM or SIGINT, then drains it.
///
/// # Errors
/// What cannot be set up: the address of the HTTP server, the ha_link endpoint, the token file.
/// Or a task ended that must not: the bridge is drained, and whoever started it starts it again.
pub async fn run(config: Config) -> Result<()> {
    info!(
        version = version::long(),
        node = config.node.name,
        "hax is starting"
    );
    let mut signals = Signals::new().context("cannot handle signals")?;
    let consul = consul::client(&config.consul)?;
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("http.listen: cannot listen on {}", config.http.listen))?;
    let (interface, events) = Interface::spawn(InterfaceConfig {
        endpoint: config.ha.endpoint.to_string(),
        process: config.ha.process,
        ha_service: config.ha.ha_service,
        rm_service: config.ha.rm_service,
        node_uuid: None,
    })
    .with_context(|| format!("ha.endpoint: cannot open {}", config.ha.endpoint))?;
    let mut daemon = Daemon::assemble(&config, consul, listener, interface, events);
    info!(http = %config.http.listen, ha = %config.ha.endpoint, "hax is listening");
    let outcome = daemon.serve(&mut signals).await;
    info!("hax is stopping");
    match tokio::time::timeout(STOP_MAX, daemon.drain()).await {
        Ok(()) => info!("hax has stopped"),
        Err(_) => warn!(?STOP_MAX, "hax has not stopped in time and ends as it is"),
    }
    outcome
}

/// The running daemon.
struct Daemon {
    interface: Interface,
    outbox: Outbox,
    bridge: BridgeHandle,
    view: View,
    tasks: Tasks,
    stop: Stop,
}

/// What ends the tasks, each at its time.
#[derive(Default)]
struct Stop {
    http: CancellationToken,
    leader: CancellationToken,
    dispatcher: CancellationToken,
    view: CancellationToken,
}

impl Daemon {
    fn assemble(
        config: &Config,
        consul: Client,
        listener: TcpListener,
        interface: Interface,
        events: Events,
    ) -> Self {
        let stop = Stop::default();
        let mut tasks = Tasks::default();
        let view = View::spawn(&consul, &stop.view);
        let links = Arc::new(Links::new(config.ha.process));
        let counters = Arc::new(Counters::default());
        let outbox = Outbox::new(
            interface.handle(),
            Arc::clone(&links),
            Arc::clone(&counters),
        );
        let work = Work {
            consul: consul.clone(),
            node: config.node.name.clone(),
            outbox: outbox.clone(),
            links: Arc::clone(&links),
            counters: Arc::clone(&counters),
            view: view.clone(),
            retry: RetryPolicy {
                min: config.retry.min,
                max: config.retry.max,
            },
            record: Record::new(consul.clone(), config.kv.process_alias),
            unknown: Default::default(),
        };
        let (dispatcher, task) = Dispatcher::spawn(
            Arc::new(work),
            config.entrypoint.timeout,
            stop.dispatcher.clone(),
        );
        tasks.add("dispatcher", task);
        let (lane, task) = Lane::spawn(outbox.clone(), Arc::clone(&links), view.snapshots());
        tasks.add("lane", task);
        let router = Router {
            links: Arc::clone(&links),
            counters: Arc::clone(&counters),
            outbox: outbox.clone(),
            dispatcher: dispatcher.clone(),
            lane: lane.clone(),
            on_fatal_message: config.ha.on_fatal_message,
        };
        tasks.add("router", tokio::spawn(router.run(events)));
        let leader = Leader::default();
        if config.leader.elect {
            let delay = config.leader.lock_delay;
            let task = LeaderTask::new(&consul, &config.node.name, delay, &leader);
            tasks.add("leader", tokio::spawn(task.run(stop.leader.clone())));
        }
        let parts = Parts {
            node: config.node.name.clone(),
            started: Instant::now(),
            phase: Default::default(),
            links,
            counters,
            dispatcher,
            view: view.clone(),
            leader,
            interface: interface.handle(),
        };
        let bridge = BridgeHandle {
            parts: Arc::new(parts),
            lane,
        };
        let limits = http::Limits::with_body(config.http.body_limit);
        let server = http::serve(listener, bridge.clone(), limits, stop.http.clone());
        let server = async {
            if let Err(error) = server.await {
                error!(%error, "the HTTP server has failed");
            }
        };
        tasks.add("http", tokio::spawn(server));
        Self {
            interface,
            outbox,
            bridge,
            view,
            tasks,
            stop,
        }
    }

    /// Waits for a signal, or for what makes it pointless to go on.
    async fn serve(&mut self, signals: &mut Signals) -> Result<()> {
        tokio::select! {
            started = self.interface.started() => started.context("ha.endpoint: cannot start")?,
            ended = self.tasks.ended() => bail!("the task `{}` has ended: {:?}", ended.0, ended.1),
            () = signals.stop() => return Ok(()),
        }
        self.bridge.set_phase(Phase::Running);
        info!("hax is ready: its own process has its entrypoint");
        tokio::select! {
            ended = self.tasks.ended() => bail!("the task `{}` has ended: {:?}", ended.0, ended.1),
            () = signals.stop() => Ok(()),
        }
    }

    /// Ends everything from the outside in: no new watches; the lock free for another node; then
    /// the links, whose last messages still need the dispatcher; then what is left.
    async fn drain(self) {
        let Self {
            interface,
            outbox,
            bridge,
            view,
            mut tasks,
            stop,
        } = self;
        bridge.set_phase(Phase::Stopping);
        stop.http.cancel();
        stop.leader.cancel();
        tasks.join("http").await;
        tasks.join("leader").await;
        if version::is_libmotr() {
            outbox.retire_all().await;
        }
        if let Err(error) = interface.stop().await {
            warn!(%error, "the interface did not stop in order");
        }
        tasks.join("router").await;
        stop.dispatcher.cancel();
        tasks.join("dispatcher").await;
        // The last ways into the lane, and into the interface.
        drop((bridge, outbox));
        tasks.join("lane").await;
        stop.view.cancel();
        view.join().await;
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => info!("SIGTERM"),
            _ = self.interrupt.recv() => info!("SIGINT"),
        }
    }
}
