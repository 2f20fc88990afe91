//! One instance at work: a thread of its own, with a runtime for it alone.

use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use consul_client::Client;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, Line};
use super::hub::Hub;
use super::instance::{Context, Failure, InstanceName, Order, Starting};
use super::prepare::Prepared;

/// Orders of operators that wait for one instance.
const ORDERS_MAX: usize = 16;

/// Threads of one instance's runtime for calls that block.
const BLOCKING_MAX: usize = 16;

/// Bytes of a cause that are kept.
const CAUSE_MAX: usize = 1024;

/// How often it is looked whether a thread that has said its last word is gone.
const LAST_STEPS: Duration = Duration::from_millis(1);

/// What all instances are given alike.
#[derive(Debug, Clone)]
pub struct Environment {
    /// This node's name in Consul.
    pub node: Arc<str>,
    /// Where events come from.
    pub hub: Hub,
    /// How to reach Consul. Each instance has a client of its own: with a shared one, requests of
    /// others would wait on connections that are driven by the runtime of an instance that hangs.
    pub consul: consul_client::Config,
    /// For what must survive the daemon but not the machine.
    pub runtime_dir: PathBuf,
    /// Events that wait for one instance.
    pub queue_max: NonZeroUsize,
}

/// When the runtime of an instance came to its turn last.
#[derive(Debug, Clone)]
pub(crate) struct Beat(Arc<(Instant, AtomicU64)>);

impl Beat {
    fn new() -> Self {
        Self(Arc::new((Instant::now(), AtomicU64::new(0))))
    }

    fn strike(&self) {
        let (begin, last) = &*self.0;
        let at = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        last.store(at, Ordering::Relaxed);
    }

    /// How long ago that was.
    pub(crate) fn age(&self) -> Duration {
        let (begin, last) = &*self.0;
        let last = Duration::from_millis(last.load(Ordering::Relaxed));
        begin.elapsed().saturating_sub(last)
    }
}

/// A thread that runs an instance. When it is dropped, the instance is told to stop, and not waited for.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) beat: Beat,
    pub(crate) starting: Starting,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) line: Arc<Line>,
    /// How much longer than others it may take to stop.
    pub(crate) stop_extra: Duration,
    stop: CancellationToken,
    last_word: oneshot::Receiver<Result<(), Failure>>,
    end: Option<Result<(), Failure>>,
    thread: JoinHandle<()>,
}

impl Run {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn spawn(
        name: &InstanceName,
        prepared: Prepared,
        environment: &Environment,
        beat_period: Duration,
    ) -> Result<Self, Failure> {
        let feed = environment.hub.subscribe(environment.queue_max.get());
        let line = feed.line();
        let (orders, orders_in) = mpsc::channel(ORDERS_MAX);
        let (tell, last_word) = oneshot::channel();
        let (beat, starting, stop) = (Beat::new(), Starting::default(), CancellationToken::new());
        let stop_extra = prepared.stop_extra;
        let work = Work {
            name: name.clone(),
            prepared,
            environment: environment.clone(),
            feed,
            stop: stop.clone(),
            starting: starting.clone(),
            orders: orders_in,
            beat: beat.clone(),
            beat_period,
        };
        let body = move || {
            let result = catch_unwind(AssertUnwindSafe(|| work.run()));
            let result = result.unwrap_or_else(|payload| Err(panicked(payload.as_ref())));
            // Who waits for it may have gone.
            let _ = tell.send(result.map_err(|failure| Failure(shorten(&failure.0))));
        };
        let thread = std::thread::Builder::new()
            .name(format!("p-{name}"))
            .spawn(body)
            .map_err(|error| Failure(format!("gets no thread: {error}")))?;
        Ok(Self {
            beat,
            starting,
            orders,
            line,
            stop_extra,
            stop,
            last_word,
            end: None,
            thread,
        })
    }

    /// Tells the instance to stop.
    pub(crate) fn cancel(&self) {
        self.stop.cancel();
    }

    /// Waits until the thread is gone, and says how it has ended. May be dropped and called again.
    pub(crate) async fn finished(&mut self) -> Result<(), Failure> {
        let end = match &self.end {
            Some(end) => end.clone(),
            None => {
                let lost = |_| Err(Failure("has ended without a word".to_owned()));
                let end = (&mut self.last_word).await.unwrap_or_else(lost);
                self.end.insert(end).clone()
            }
        };
        while !self.thread.is_finished() {
            tokio::time::sleep(LAST_STEPS).await;
        }
        end
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the thread takes with it.
struct Work {
    name: InstanceName,
    prepared: Prepared,
    environment: Environment,
    feed: Feed,
    stop: CancellationToken,
    starting: Starting,
    orders: mpsc::Receiver<Order>,
    beat: Beat,
    beat_period: Duration,
}

impl Work {
    fn run(self) -> Result<(), Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_MAX)
            .thread_name(format!("p-{}", self.name))
            .build()
            .map_err(|error| Failure(format!("gets no runtime: {error}")))?;
        let consul = Client::new(&self.environment.consul)
            .map_err(|error| Failure(format!("has no client for Consul: {error}")))?;
        let context = Context {
            name: self.name,
            node: self.environment.node,
            feed: self.feed,
            stop: self.stop,
            starting: self.starting,
            orders: self.orders,
            consul,
            runtime_dir: self.environment.runtime_dir,
        };
        let (beat, period) = (self.beat, self.beat_period);
        let plugin = self.prepared.plugin;
        // The runtime ends with this function, and every task in it, before the last word is said.
        runtime.block_on(async move {
            let beating = tokio::spawn(async move {
                loop {
                    beat.strike();
                    tokio::time::sleep(period).await;
                }
            });
            let result = plugin.run(context).await;
            beating.abort();
            result
        })
    }
}

/// The words of a panic.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let words = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let words = words.unwrap_or("it left no words");
    Failure(shorten(&format!("panicked: {words}")))
}

fn shorten(text: &str) -> String {
    let end = CAUSE_MAX.min(text.len());
    let whole = (0..=end).rev().find_map(|end| text.get(..end));
    whole.unwrap_or_default().to_owned()
}
