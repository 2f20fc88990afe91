//! `hax run`: the tasks of the daemon, how they start and in which order they end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use halink::{Interface, InterfaceConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bridge::{
    BridgeHandle, Counters, Lane, Links, Outbox, Parts, Phase, Record, RetryPolicy, Router, Work,
};
use crate::cluster::{Leader, LeaderTask, View};
use crate::config::Config;
use crate::dispatch::Dispatcher;
use crate::{consul, http, version};

/// How long the parts may take to end, all together; then the process ends without them.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Runs the bridge until SIGTERM or SIGINT, then drains it.
///
/// # Errors
/// What cannot be set up: the address of the HTTP server, the ha_link endpoint, the token file.
pub async fn run(config: Config) -> Result<()> {
    info!(
        version = version::long(),
        node = config.node.name,
        "hax is starting"
    );
    let signals = Signals::new().context("cannot handle signals")?;
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

    let watching = CancellationToken::new();
    let view = View::spawn(&consul, &watching);
    let links = Arc::new(Links::new(config.ha.process));
    let counters = Arc::new(Counters::default());
    let outbox = Outbox::new(
        interface.handle(),
        Arc::clone(&links),
        Arc::clone(&counters),
    );
    let work = Arc::new(Work {
        consul: consul.clone(),
        node: config.node.name.clone(),
        outbox: outbox.clone(),
        links: Arc::clone(&links),
        counters: Arc::clone(&counters),
        view: view.snapshots(),
        retry: RetryPolicy {
            min: config.retry.min,
            max: config.retry.max,
        },
        record: Record::new(consul.clone(), config.kv.process_alias),
        unknown: Mutex::new(HashSet::new()),
    });
    let dispatching = CancellationToken::new();
    let (dispatcher, dispatcher_task) =
        Dispatcher::spawn(work, config.entrypoint.timeout, dispatching.clone());
    let (lane, lane_task) = Lane::spawn(outbox.clone(), Arc::clone(&links), view.snapshots());
    let router = Router {
        links: Arc::clone(&links),
        counters: Arc::clone(&counters),
        outbox,
        dispatcher: dispatcher.clone(),
        lane: lane.clone(),
        on_fatal_message: config.ha.on_fatal_message,
    };
    let router_task = tokio::spawn(router.run(events));
    let leader = Leader::default();
    let electing = CancellationToken::new();
    let leader_task = config.leader.elect.then(|| {
        let task = LeaderTask::new(
            &consul,
            &config.node.name,
            config.leader.lock_delay,
            &leader,
        );
        tokio::spawn(task.run(electing.clone()))
    });
    let parts = Parts::new(
        &config.node.name,
        links,
        counters,
        dispatcher,
        view.clone(),
        leader,
        interface.handle(),
    );
    let bridge = BridgeHandle {
        parts: Arc::new(parts),
        lane,
    };
    let serving = CancellationToken::new();
    let limits = http::Limits::with_body(config.http.body_limit);
    let server = tokio::spawn(http::serve(
        listener,
        bridge.clone(),
        limits,
        serving.clone(),
    ));
    info!(http = %config.http.listen, ha = %config.ha.endpoint, "hax is listening");

    let stopped = signals.stop();
    tokio::pin!(stopped);
    let started = tokio::select! {
        started = interface.started() => Some(started),
        () = &mut stopped => None,
    };
    let outcome = match started {
        Some(Ok(())) => {
            bridge.set_phase(Phase::Running);
            info!("hax is ready: its own process has its entrypoint");
            stopped.await;
            Ok(())
        }
        Some(Err(error)) => {
            Err(error).with_context(|| format!("ha.endpoint: cannot start {}", config.ha.endpoint))
        }
        None => Ok(()),
    };

    info!("hax is stopping");
    bridge.set_phase(Phase::Stopping);
    let drain = async {
        // From the outside in: no new watches; the lock free for another node; then the links,
        // whose last messages still need the dispatcher; then what is left.
        serving.cancel();
        electing.cancel();
        join("http", server).await;
        if let Some(task) = leader_task {
            join("leader", task).await;
        }
        if let Err(error) = interface.stop().await {
            warn!(%error, "the interface did not stop in order");
        }
        join("router", router_task).await;
        dispatching.cancel();
        join("dispatcher", dispatcher_task).await;
        drop(bridge);
        join("lane", lane_task).await;
        watching.cancel();
        view.join().await;
    };
    match tokio::time::timeout(STOP_MAX, drain).await {
        Ok(()) => info!("hax has stopped"),
        Err(_) => warn!(?STOP_MAX, "hax has not stopped in time and ends as it is"),
    }
    outcome
}

async fn join<T>(what: &str, task: tokio::task::JoinHandle<T>) {
    if let Err(error) = task.await {
        warn!(what, %error, "a task did not end in order");
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn stop(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => info!("SIGTERM"),
            _ = self.interrupt.recv() => info!("SIGINT"),
        }
    }
}
