//! The dispatcher: one task that decides when each request of Motr is handled, and with which
//! others (`rfc/7-ordering.md`).

mod in_hand;
mod queue;
mod request;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use halink::EntrypointRequest;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use in_hand::InHand;
pub use queue::{Mode, PAUSE, Queue, RUN_MAX};
pub use request::{Asked, Item, Key, Message, Request, Run, ToldAgain};

/// Requests on their way from the router to the dispatcher. The dispatcher always receives, so
/// this is a hand-over, not a queue.
const HAND_OVER: usize = 256;

/// Runs in hand at once in mode `lanes`: enough that a slow answer of Consul for some processes
/// leaves room for the others, few enough not to crowd the agent.
const LANES: usize = 8;

/// What is done with requests whose turn has come.
pub trait Handler: Send + Sync + 'static {
    /// The messages it handles.
    type Message: Message;

    /// Makes one attempt for all requests of a run, and answers each with the entrypoint or, at
    /// its deadline, with EAGAIN: in their order. Says who was told EAGAIN.
    fn entrypoints(&self, run: Vec<Asked>) -> impl Future<Output = Vec<ToldAgain>> + Send;

    /// Sends EAGAIN.
    fn again(&self, request: EntrypointRequest) -> impl Future<Output = ()> + Send;

    /// Handles the messages of a run, with retries. Dropping the future leaves undelivered what has
    /// not been acknowledged.
    fn messages(&self, run: Vec<Self::Message>) -> impl Future<Output = ()> + Send;

    /// Acknowledges a message that is superseded by a later one, and does nothing else for it.
    fn superseded(&self, message: Self::Message) -> impl Future<Output = ()> + Send;
}

/// How the dispatcher works.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which requests are kept in order.
    pub mode: Mode,
    /// The bound of an entrypoint request (7/ORDER, O5).
    pub entrypoint_timeout: Duration,
    /// Requests that wait from which on superseded messages are taken out; `None`: never. It is
    /// for a backend that cannot hold back the processes.
    pub fold_from: Option<usize>,
}

/// What the dispatcher is doing, for people.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Runs in hand.
    pub runs: usize,
    /// The run that has been in hand longest, and when its turn came.
    pub in_hand: Option<(String, Instant)>,
    /// The number of that run.
    oldest: Option<u64>,
}

/// The router's end of the dispatcher.
#[derive(Debug)]
pub struct Dispatcher<M> {
    requests: mpsc::Sender<Item<M>>,
    progress: watch::Receiver<Progress>,
}

/// Not derived: messages need not be cloned for it.
impl<M> Clone for Dispatcher<M> {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
            progress: self.progress.clone(),
        }
    }
}

impl<M: Message> Dispatcher<M> {
    /// Starts the dispatcher's task. It ends when `cancel` is cancelled or every clone of the
    /// `Dispatcher` is dropped; what is in hand is then given up, unacknowledged.
    pub fn spawn<H: Handler<Message = M>>(
        handler: Arc<H>,
        options: Options,
        cancel: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (requests, receiver) = mpsc::channel(HAND_OVER);
        let (publish, progress) = watch::channel(Progress::default());
        let task = Task {
            handler,
            options,
            queue: Queue::new(options.mode, options.entrypoint_timeout),
            in_hand: InHand::default(),
            publish,
        };
        (
            Self { requests, progress },
            tokio::spawn(task.run(receiver, cancel)),
        )
    }

    /// Hands a request over. Its arrival is now.
    pub async fn push(&self, request: Request<M>) {
        // An error means that the dispatcher has ended, and then Motr keeps the request.
        let _ = self
            .requests
            .send(Item {
                request,
                arrived: Instant::now(),
            })
            .await;
    }

    /// What the dispatcher is doing.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }
}

struct Task<H: Handler> {
    handler: Arc<H>,
    options: Options,
    queue: Queue<H::Message>,
    in_hand: InHand,
    publish: watch::Sender<Progress>,
}

impl<H: Handler> Task<H> {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Item<H::Message>>,
        cancel: CancellationToken,
    ) {
        let mut arrived = Vec::with_capacity(HAND_OVER);
        loop {
            let now = Instant::now();
            self.take(now);
            // While an entrypoint request is in hand the ones behind it keep their place (O2).
            let asked = self.in_hand.entrypoint_keys();
            if let Some(item) = self.queue.expired(now, &asked) {
                if let Request::Entrypoint(request) = item.request {
                    let process = request.process;
                    self.handler.again(request).await;
                    self.queue.told_again(ToldAgain { process, at: now }, now);
                }
                continue;
            }
            let wake_at = self.queue.wake_at(now, &asked);
            self.tell();
            tokio::select! {
                () = cancel.cancelled() => return,
                count = requests.recv_many(&mut arrived, HAND_OVER) => {
                    if count == 0 {
                        return;
                    }
                    for item in arrived.drain(..) {
                        self.arrive(item).await;
                    }
                }
                told_again = self.in_hand.finish() => {
                    let now = Instant::now();
                    for told in told_again {
                        self.queue.told_again(told, now);
                    }
                }
                () = sleep_until(wake_at) => {}
            }
        }
    }

    async fn arrive(&mut self, item: Item<H::Message>) {
        let Item { request, arrived } = item;
        let full = |from| self.queue.len() >= from;
        if self.options.fold_from.is_some_and(full)
            && let Request::Message(message) = &request
            && let Some(superseded) = self.queue.take_superseded(message)
        {
            self.handler.superseded(superseded).await;
        }
        self.queue.push(request, arrived);
    }

    /// Takes in hand what may be.
    fn take(&mut self, now: Instant) {
        let room = match self.options.mode {
            Mode::Queue => 1,
            Mode::Lanes => LANES,
        };
        while self.in_hand.len() < room && !self.queue.is_empty() {
            let Some(run) = self.queue.next(now, &self.in_hand.keys()) else {
                return;
            };
            let handler = Arc::clone(&self.handler);
            self.in_hand.add(run, now, async move |run| match run {
                Run::Entrypoints(run) => handler.entrypoints(run).await,
                Run::Messages(run) => {
                    handler.messages(run).await;
                    Vec::new()
                }
            });
        }
    }

    fn tell(&self) {
        let waiting = self.queue.len();
        let runs = self.in_hand.len();
        let oldest = self.in_hand.oldest_number();
        self.publish.send_if_modified(|progress| {
            let now = (progress.waiting, progress.runs, progress.oldest);
            let changed = now != (waiting, runs, oldest);
            if changed {
                *progress = Progress {
                    waiting,
                    runs,
                    in_hand: self.in_hand.oldest(),
                    oldest,
                };
            }
            changed
        });
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
