//! Plugins that behave badly on purpose, and a host for them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use consul_client::Config;

use crate::config::plugin::{PluginConfig, PrometheusConfig};
use crate::plugin::instance::{Context, Failure, InstanceName, Order, Plugin, Running};
use crate::plugin::prepare::Kinds;
use crate::plugin::{Environment, Handle, Host, Hub, InstanceStatus, Setup, State, Timing};

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Gets ready and runs until it is told to stop; answers orders.
    Good,
    /// Gets ready, and panics when it is let go.
    Panics,
    /// Returns an error before it is ready.
    Fails,
    /// Gets ready and spins without coming back until it is let go.
    Spins,
    /// Gets ready and sleeps with its thread until it is let go.
    Blocks,
    /// Never gets ready.
    NotReady,
    /// Never gets ready, and then does not stop before it is let go.
    NotReadyNorStops,
    /// Gets ready, and does not stop before it is let go.
    IgnoresStop,
    /// Cannot be prepared.
    NotPrepared,
    /// Panics when it is prepared.
    PanicsInPrepare,
    /// Is not prepared before it is let go.
    BlocksInPrepare,
}

/// What instances do is told by their name and the number in their configuration.
#[derive(Debug, Default)]
pub(super) struct Bad {
    ways: Mutex<BTreeMap<(String, usize), Way>>,
    pub(super) let_go: AtomicBool,
    /// Every start: name, number of the configuration, thread.
    pub(super) starts: Mutex<Vec<(String, usize, std::thread::ThreadId)>>,
}

impl Bad {
    pub(super) fn set(&self, name: &str, number: usize, way: Way) {
        let mut ways = self.ways.lock().unwrap();
        ways.insert((name.to_owned(), number), way);
    }

    pub(super) fn starts_of(&self, name: &str) -> Vec<(usize, std::thread::ThreadId)> {
        let starts = self.starts.lock().unwrap();
        let of = starts.iter().filter(|(other, ..)| other == name);
        of.map(|(_, number, thread)| (*number, *thread)).collect()
    }

    fn gone(&self) -> bool {
        self.let_go.load(Ordering::Acquire)
    }
}

pub(super) struct BadKinds(pub(super) Arc<Bad>);

impl Kinds for BadKinds {
    fn prepare(
        &self,
        name: &InstanceName,
        config: &PluginConfig,
        _: Option<&PluginConfig>,
    ) -> Result<Box<dyn Plugin>, Failure> {
        let PluginConfig::Prometheus(config) = config else {
            return Err(Failure("is of another kind".to_owned()));
        };
        let (bad, name, number) = (&self.0, name.as_str(), config.connections.get());
        let way = bad
            .ways
            .lock()
            .unwrap()
            .get(&(name.to_owned(), number))
            .copied();
        let way = way.unwrap_or(Way::Good);
        match way {
            Way::NotPrepared => return Err(Failure("cannot be prepared".to_owned())),
            Way::PanicsInPrepare => panic!("in prepare"),
            Way::BlocksInPrepare => block(bad),
            _ => {}
        }
        Ok(Box::new(BadPlugin {
            bad: Arc::clone(bad),
            name: name.to_owned(),
            number,
            way,
        }))
    }
}

struct BadPlugin {
    bad: Arc<Bad>,
    name: String,
    number: usize,
    way: Way,
}

impl Plugin for BadPlugin {
    fn run(self: Box<Self>, context: Context) -> Running {
        let start = (self.name.clone(), self.number, std::thread::current().id());
        self.bad.starts.lock().unwrap().push(start);
        Box::pin(async move {
            // All of it: the feed is kept, and not read.
            let mut context = context;
            match self.way {
                Way::Fails => return Err(Failure("on purpose".to_owned())),
                Way::NotReady => {
                    context.stop.cancelled().await;
                    return Ok(());
                }
                Way::NotReadyNorStops => {
                    block(&self.bad);
                    return Ok(());
                }
                _ => {}
            }
            context
                .starting
                .show(serde_json::json!({ "number": self.number }));
            context.starting.ready();
            // The supervisor sees that it is ready.
            tokio::task::yield_now().await;
            match self.way {
                Way::Panics => {
                    while !self.bad.gone() {
                        tokio::time::sleep(STEP).await;
                    }
                    panic!("these are {} words", 4);
                }
                Way::Spins => {
                    while !self.bad.gone() {
                        std::thread::yield_now();
                    }
                }
                Way::Blocks => block(&self.bad),
                Way::IgnoresStop => {
                    while !self.bad.gone() {
                        tokio::time::sleep(STEP).await;
                    }
                }
                _ => {}
            }
            loop {
                tokio::select! {
                    () = context.stop.cancelled() => return Ok(()),
                    Some(order) = context.orders.recv() => answer(order),
                }
            }
        })
    }
}

fn answer(order: Order) {
    match order {
        Order::StartUntil { until, reply, .. } => reply.send(Ok(until.into())).unwrap(),
        Order::Evict { reply, .. } => reply.send(Err(Failure("no".to_owned()))).unwrap(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the bad thing that it does"
)]
fn block(bad: &Bad) {
    while !bad.gone() {
        std::thread::sleep(STEP);
    }
}

const STEP: Duration = Duration::from_millis(5);

/// A host, and what its plugins do. Threads are let go at its end.
pub(super) struct Fixture {
    pub(super) bad: Arc<Bad>,
    pub(super) hub: Hub,
    pub(super) host: Option<Host>,
    pub(super) handle: Handle,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.bad.let_go.store(true, Ordering::Release);
    }
}

/// Bounds that a test can reach, and that a busy machine keeps where a test counts on that.
pub(super) fn timing() -> Timing {
    Timing {
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(80),
        beat: Duration::from_millis(20),
        hanging: Duration::from_millis(500),
        ..Timing::new(Duration::from_secs(20), Duration::from_secs(20))
    }
}

pub(super) fn fixture(timing: Timing) -> Fixture {
    let (bad, hub) = (Arc::new(Bad::default()), Hub::default());
    let setup = Setup {
        environment: Environment {
            node: "n".into(),
            hub: hub.clone(),
            consul: Config::new("http://127.0.0.1:1"),
            runtime_dir: "/nowhere".into(),
            queue_max: NonZeroUsize::MIN,
        },
        kinds: Arc::new(BadKinds(Arc::clone(&bad))),
        timing,
        sources: Vec::new(),
    };
    let host = Host::spawn(setup).unwrap();
    let handle = host.handle();
    Fixture {
        bad,
        hub,
        host: Some(host),
        handle,
    }
}

pub(super) fn name(name: &str) -> InstanceName {
    InstanceName::new(name).unwrap()
}

/// Names with the number of their configuration.
pub(super) fn set(set: &[(&str, usize)]) -> BTreeMap<InstanceName, PluginConfig> {
    let config = |number| {
        PluginConfig::Prometheus(PrometheusConfig {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            connections: NonZeroUsize::new(number).unwrap(),
            timeout: Duration::ZERO,
            enums: false,
        })
    };
    let set = set
        .iter()
        .map(|(text, number)| (name(text), config(*number)));
    set.collect()
}

impl Fixture {
    pub(super) fn find(&self, text: &str) -> Option<InstanceStatus> {
        let mut status = self.handle.status().into_iter();
        status.find(|status| status.instance.as_str() == text)
    }

    pub(super) fn state(&self, text: &str) -> Option<State> {
        self.find(text).map(|status| status.state)
    }

    /// Waits until an instance is as it should be.
    pub(super) async fn until(
        &self,
        text: &str,
        good: impl Fn(&InstanceStatus) -> bool,
    ) -> InstanceStatus {
        let begin = Instant::now();
        loop {
            let status = self.find(text);
            if let Some(status) = status.as_ref().filter(|status| good(status)) {
                return status.clone();
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{text}: {status:?}"
            );
            tokio::time::sleep(STEP).await;
        }
    }

    /// An order that a good instance answers at its turn.
    pub(super) async fn answers(&self, text: &str) {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let order = Order::StartUntil {
            resource: None,
            until: "all".to_owned(),
            reply,
        };
        self.handle.order(&name(text), order).unwrap();
        assert_eq!(answer.await.unwrap().unwrap(), "all");
    }
}
