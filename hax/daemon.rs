//! `hax run`: the tasks of the daemon, how they start and in which order they end.

mod fence;
mod plugins;

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
    BridgeHandle, ConsulStore, Counters, DeadLetters, Fallen, Lane, LaneParts, Links, Motr, Outbox,
    Parts, Peers, Phase, QueueAlarm, Record, RetryPolicy, Router, Rulings, SharedReports,
    SharedVerdicts, StateTree, Work,
};
use crate::cluster::{Detail, Leader, LeaderTask, View};
use crate::config::{Config, Profile};
use crate::death::{DeathWatch, Deaths, watches_max};
use crate::dispatch::{self, Dispatcher};
use crate::fence::coordinator::{self, Prepared};
use crate::fence::files::Responder;
use crate::fence::local::MotrProcesses;
use crate::tasks::Tasks;
use crate::{consul, http, version};

use self::fence::{FenceTasks, is_automatic};
use self::plugins::Plugins;

/// How long the parts may take to end, all together; then the process ends without them.
const STOP_MAX: Duration = Duration::from_secs(9);

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
    let deaths = Arc::new(Deaths::new(watches_max()));
    let mut local = None;
    let fence = coordinator::prepare(&config, |node| {
        let processes = MotrProcesses::new(node, config.ha.process, Arc::clone(&deaths));
        local = Some(processes.clone());
        Arc::new(processes)
    });
    let fence = fence.await?.zip(local);
    if let Some(files) = config.fence.as_ref().and_then(|fence| fence.files.as_ref()) {
        // Nothing else runs yet that would wait for this disk.
        Responder::check(files)?;
    }
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("http.listen: cannot listen on {}", config.http.listen))?;
    let (interface, events) = Interface::spawn(InterfaceConfig {
        endpoint: config.ha.endpoint.to_string(),
        process: config.ha.process,
        ha_service: config.ha.ha_service,
        rm_service: config.ha.rm_service,
        node_uuid: None,
        queue_max: config.dispatch.queue_max,
    })
    .with_context(|| format!("ha.endpoint: cannot open {}", config.ha.endpoint))?;
    let mut daemon = Daemon::assemble(&config, consul, listener, interface, events, deaths, fence)?;
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
    death: DeathWatch<Fallen>,
    view: View,
    plugins: Option<Plugins>,
    tasks: Tasks,
    stop: Stop,
}

/// What ends the tasks, each at its time.
#[derive(Default)]
struct Stop {
    http: CancellationToken,
    leader: CancellationToken,
    beside_fence: CancellationToken,
    fence: CancellationToken,
    plugins: CancellationToken,
    death: CancellationToken,
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
        deaths: Arc<Deaths>,
        fence: Option<(Prepared, MotrProcesses)>,
    ) -> Result<Self> {
        let stop = Stop::default();
        let mut tasks = Tasks::default();
        let detail = match config.ha.profile {
            Profile::FiveHax => Detail::States,
            Profile::Hare => Detail::Relations,
        };
        let view = View::spawn(&consul, detail, &stop.view);
        let links = Arc::new(Links::new(config.ha.process));
        let counters = Arc::new(Counters::default());
        let alarm = Arc::new(QueueAlarm::new(config.dispatch.queue_max.get() as usize));
        let outbox = Outbox::new(
            interface.handle(),
            Arc::clone(&links),
            Arc::clone(&counters),
        );
        let verdicts = SharedVerdicts::new(config.fence.is_some());
        let wanted = config
            .fence
            .as_ref()
            .is_some_and(crate::fence::reports::are_wanted);
        let reports = SharedReports::new(wanted);
        let (lane, lane_task) = Lane::spawn(LaneParts {
            outbox: outbox.clone(),
            links: Arc::clone(&links),
            deaths: Arc::clone(&deaths),
            verdicts: verdicts.clone(),
            view: view.snapshots(),
        });
        if config.fence.is_some() {
            let rulings = Rulings {
                verdicts: verdicts.clone(),
                view: view.snapshots(),
                lane: lane.clone(),
                own: config.ha.process,
            };
            let task = rulings.follow(stop.dispatcher.clone());
            tasks.add("rulings", tokio::spawn(task));
        }
        let leader = Leader::default();
        let mut record = Record::new(config.kv.process_alias);
        let mut peers = None;
        if config.ha.profile == Profile::Hare {
            let states = Arc::new(StateTree {
                consul: consul.clone(),
                view: view.clone(),
                own: config.ha.process,
                alias: config.kv.process_alias,
            });
            record = record.with_states(Arc::clone(&states));
            let others = Peers {
                states,
                node: config.node.name.clone(),
                leader: leader.clone(),
                lane: lane.clone(),
                verdicts: verdicts.clone(),
                deaths: Arc::clone(&deaths),
            };
            let task = others.clone().follow(stop.dispatcher.clone());
            tasks.add("peers", tokio::spawn(task));
            if config.fence.is_some() {
                let task = others.clone().follow_fences(stop.dispatcher.clone());
                tasks.add("fenced peers", tokio::spawn(task));
            }
            peers = Some(others);
        }
        let letters = Arc::new(DeadLetters::default());
        let work = Work {
            store: ConsulStore {
                consul: consul.clone(),
                view: view.clone(),
                hare: (config.ha.profile == Profile::Hare).then_some(config.ha.process),
            },
            replies: Motr {
                outbox: outbox.clone(),
                lane: lane.clone(),
            },
            node: config.node.name.clone(),
            links: Arc::clone(&links),
            deaths: Arc::clone(&deaths),
            verdicts: verdicts.clone(),
            counters: Arc::clone(&counters),
            retry: RetryPolicy {
                min: config.retry.min,
                max: config.retry.max,
                attempt: config.retry.attempt,
            },
            record,
            letters: Arc::clone(&letters),
            unknown: Default::default(),
        };
        let options = dispatch::Options {
            mode: config.dispatch.mode,
            entrypoint_timeout: config.entrypoint.timeout,
            // The embedded backend stops reading instead.
            fold_from: version::is_libmotr().then_some(config.dispatch.queue_max.get() as usize),
        };
        let (dispatcher, task) =
            Dispatcher::spawn(Arc::new(work), options, stop.dispatcher.clone());
        tasks.add("dispatcher", task);
        tasks.add("lane", lane_task);
        let fallen = config.ha.death_watch.then(|| Fallen {
            counters: Arc::clone(&counters),
            lane: lane.clone(),
            outbox: outbox.clone(),
            view: view.snapshots(),
        });
        let death = DeathWatch::new(Arc::clone(&deaths), fallen, stop.death.clone());
        let router = Router {
            links: Arc::clone(&links),
            counters: Arc::clone(&counters),
            alarm: Arc::clone(&alarm),
            outbox: outbox.clone(),
            dispatcher: dispatcher.clone(),
            lane: lane.clone(),
            death: death.clone(),
            verdicts: verdicts.clone(),
            reports: reports.clone(),
            on_fatal_message: config.ha.on_fatal_message,
            arrivals: Default::default(),
        };
        tasks.add("router", tokio::spawn(router.run(events)));
        if config.leader.elect {
            let delay = config.leader.lock_delay;
            let task = LeaderTask::new(&consul, &config.node.name, delay, &leader);
            tasks.add("leader", tokio::spawn(task.run(stop.leader.clone())));
        }
        let fence = fence
            .zip(config.fence.clone())
            .map(|((fence, local), settings)| {
                let automatic = is_automatic(&fence, &settings, &local.node);
                let (handle, coordinator) = fence.spawn(config, &consul, stop.fence.clone());
                let beside = FenceTasks {
                    config: Arc::new(settings),
                    own: config.ha.process,
                    endpoint: config.ha.endpoint.to_string(),
                    death_watch: config.ha.death_watch,
                    consul: consul.clone(),
                    view: view.clone(),
                    verdicts: verdicts.clone(),
                    reports,
                    deaths: Arc::clone(&deaths),
                    local,
                    automatic,
                };
                beside.spawn(&handle, &coordinator, &mut tasks, &stop.beside_fence);
                tasks.add("fence", coordinator.into_task());
                handle
            });
        let parts = Arc::new(Parts {
            node: config.node.name.clone(),
            started: Instant::now(),
            phase: Default::default(),
            links,
            deaths,
            counters,
            alarm,
            dispatcher,
            letters,
            view: view.clone(),
            leader,
            interface: interface.handle(),
        });
        let plugins = plugins::Needs {
            parts: Arc::clone(&parts),
            verdicts,
            fence: fence.clone(),
            own: config.ha.process,
        };
        let plugins = plugins.spawn(config, &mut tasks, &stop.plugins)?;
        let bridge = BridgeHandle {
            parts,
            lane,
            peers,
            fence,
            plugins: plugins.as_ref().map(Plugins::handle),
        };
        let limits = http::Limits::with_body(config.http.body_limit);
        let server = http::serve(listener, bridge.clone(), limits, stop.http.clone());
        let server = async {
            if let Err(error) = server.await {
                error!(%error, "the HTTP server has failed");
            }
        };
        tasks.add("http", tokio::spawn(server));
        Ok(Self {
            interface,
            outbox,
            bridge,
            death,
            view,
            plugins,
            tasks,
            stop,
        })
    }

    /// Waits for a signal, or for what makes it pointless to go on.
    async fn serve(&mut self, signals: &mut Signals) -> Result<()> {
        tokio::select! {
            started = self.interface.started() => started.context("ha.endpoint: cannot start")?,
            ended = self.tasks.ended() => bail!("the task `{}` has ended: {:?}", ended.0, ended.1),
            () = signals.stop() => return Ok(()),
        }
        if let Some(plugins) = &self.plugins {
            tokio::select! {
                started = plugins.start() => started?,
                () = signals.stop() => return Ok(()),
            }
        }
        self.bridge.set_phase(Phase::Running);
        info!("hax is ready: its own process has its entrypoint");
        loop {
            tokio::select! {
                ended = self.tasks.ended() => bail!("the task `{}` has ended: {:?}", ended.0, ended.1),
                wanted = signals.next() => match wanted {
                    Wanted::Stop => return Ok(()),
                    Wanted::Reload => plugins::reload(self.plugins.as_ref()),
                },
            }
        }
    }

    /// Ends everything from the outside in: no new requests, and the runs of fencing ended, which lets
    /// go those who wait for them over HTTP; the lock free for another node; then the links, whose last messages still need the dispatcher; then what is left.
    async fn drain(self) {
        let Self {
            interface,
            outbox,
            bridge,
            death,
            view,
            plugins,
            mut tasks,
            stop,
        } = self;
        bridge.set_phase(Phase::Stopping);
        stop.plugins.cancel();
        // They end beside all else, which waits for nothing of theirs.
        let plugins = tokio::spawn(Plugins::stop(plugins));
        stop.http.cancel();
        stop.leader.cancel();
        stop.beside_fence.cancel();
        for name in fence::NAMES {
            tasks.join(name).await;
        }
        stop.fence.cancel();
        tasks.join("fence").await;
        tasks.join("http").await;
        tasks.join("leader").await;
        // From here on links end because the bridge does.
        stop.death.cancel();
        if version::is_libmotr() {
            outbox.retire_all().await;
        }
        if let Err(error) = interface.stop().await {
            warn!(%error, "the interface did not stop in order");
        }
        tasks.join("router").await;
        death.join().await;
        stop.dispatcher.cancel();
        tasks.join("dispatcher").await;
        tasks.join("peers").await;
        tasks.join("fenced peers").await;
        tasks.join("rulings").await;
        // The last way into the lane.
        drop(bridge);
        tasks.join("lane").await;
        outbox.join().await;
        stop.view.cancel();
        view.join().await;
        tasks.join("reloads").await;
        if let Err(error) = plugins.await {
            warn!(%error, "plugins did not stop in order");
        }
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Stop,
    Reload,
}

/// SIGTERM and SIGINT, and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wanted {
        let (signal, wanted) = tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", Wanted::Stop),
            _ = self.interrupt.recv() => ("SIGINT", Wanted::Stop),
            _ = self.hang_up.recv() => ("SIGHUP", Wanted::Reload),
        };
        info!("{signal}");
        wanted
    }

    /// Waits for the end. A reload before there is anything to reload is none.
    async fn stop(&mut self) {
        while self.next().await != Wanted::Stop {}
    }
}
