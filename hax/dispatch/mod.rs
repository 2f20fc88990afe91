//! The dispatcher: one task that handles the requests of Motr in the order of arrival
//! (`rfc/7-ordering.md`).

mod queue;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use halink::EntrypointRequest;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use queue::{Item, PAUSE, Queue, Request};

/// Requests on their way from the router to the dispatcher. The dispatcher always receives, so
/// this is a hand-over, not a queue.
const HAND_OVER: usize = 256;

/// How an entrypoint request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With the entrypoint.
    Reply,
    /// With EAGAIN: the process asks again.
    Again,
}

/// What is done with a request whose turn has come.
pub trait Handler: Send + Sync + 'static {
    /// The messages it handles; `Display` says what one is, for people.
    type Message: Display + Send + 'static;

    /// Makes one attempt, bounded by `deadline`, and sends the reply or EAGAIN.
    fn entrypoint(
        &self,
        request: EntrypointRequest,
        deadline: Instant,
    ) -> impl Future<Output = Answer> + Send;

    /// Sends EAGAIN.
    fn again(&self, request: EntrypointRequest) -> impl Future<Output = ()> + Send;

    /// Handles a message, with retries. Dropping the future leaves the message undelivered.
    fn message(&self, message: Self::Message) -> impl Future<Output = ()> + Send;
}

/// What the dispatcher is doing, for people.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// The request in hand, and when its turn came.
    pub in_hand: Option<(String, Instant)>,
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

impl<M: Send + 'static> Dispatcher<M> {
    /// Starts the dispatcher's task. It ends when `cancel` is cancelled or every clone of the
    /// `Dispatcher` is dropped; the request in hand is then given up, unacknowledged.
    pub fn spawn<H: Handler<Message = M>>(
        handler: Arc<H>,
        entrypoint_timeout: std::time::Duration,
        cancel: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (requests, receiver) = mpsc::channel(HAND_OVER);
        let (publish, progress) = watch::channel(Progress::default());
        let run = run(
            handler,
            Queue::new(entrypoint_timeout),
            receiver,
            publish,
            cancel,
        );
        (Self { requests, progress }, tokio::spawn(run))
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

/// The request in hand.
enum InHand {
    Nothing,
    Entrypoint(halink::Fid, Pin<Box<dyn Future<Output = Answer> + Send>>),
    Message(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl InHand {
    /// Whose EAGAIN, if any, ended it. Pending for ever if there is nothing in hand.
    async fn finish(&mut self) -> Option<halink::Fid> {
        match self {
            Self::Nothing => std::future::pending().await,
            Self::Entrypoint(process, work) => (work.await == Answer::Again).then_some(*process),
            Self::Message(work) => {
                work.await;
                None
            }
        }
    }
}

async fn run<H: Handler>(
    handler: Arc<H>,
    mut queue: Queue<H::Message>,
    mut requests: mpsc::Receiver<Item<H::Message>>,
    publish: watch::Sender<Progress>,
    cancel: CancellationToken,
) {
    let mut in_hand = InHand::Nothing;
    loop {
        let now = Instant::now();
        if matches!(in_hand, InHand::Nothing)
            && let Some(item) = queue.next(now)
        {
            let name = describe(&item.request);
            publish.send_modify(|progress| progress.in_hand = Some((name, now)));
            in_hand = take(&handler, &queue, item, now);
        }
        // While an entrypoint request is in hand the ones behind it keep their place (O2).
        let bounded = !matches!(in_hand, InHand::Entrypoint(..));
        if bounded && let Some(item) = queue.expired(now) {
            if let Request::Entrypoint(request) = item.request {
                queue.told_again(request.process, now);
                handler.again(request).await;
            }
            continue;
        }
        publish.send_if_modified(|progress| {
            let changed = progress.waiting != queue.len();
            progress.waiting = queue.len();
            changed
        });
        let wake_at = if bounded { queue.wake_at(now) } else { None };
        tokio::select! {
            () = cancel.cancelled() => return,
            item = requests.recv() => match item {
                Some(Item { request, arrived }) => queue.push(request, arrived),
                None => return,
            },
            told_again = in_hand.finish() => {
                if let Some(process) = told_again {
                    queue.told_again(process, Instant::now());
                }
                in_hand = InHand::Nothing;
                publish.send_modify(|progress| progress.in_hand = None);
            }
            () = sleep_until(wake_at) => {}
        }
    }
}

fn take<H: Handler>(
    handler: &Arc<H>,
    queue: &Queue<H::Message>,
    item: Item<H::Message>,
    now: Instant,
) -> InHand {
    let deadline = queue.deadline(&item).unwrap_or(now);
    let handler = Arc::clone(handler);
    match item.request {
        Request::Entrypoint(request) => {
            let process = request.process;
            let work = async move { handler.entrypoint(request, deadline).await };
            InHand::Entrypoint(process, Box::pin(work))
        }
        Request::Message(message) => {
            InHand::Message(Box::pin(async move { handler.message(message).await }))
        }
    }
}

fn describe(request: &Request<impl Display>) -> String {
    match request {
        Request::Entrypoint(request) => format!("entrypoint request of {}", request.process),
        Request::Message(message) => message.to_string(),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
