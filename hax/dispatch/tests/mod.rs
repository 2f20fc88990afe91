//! The dispatcher in paused time, with a handler that writes down what is asked of it.

mod lanes;
mod order;
mod property;
mod queue;

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use halink::{EntrypointRequest, Fid, LinkId, RequestId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Asked, Dispatcher, Handler, Message, Mode, Options, Request, ToldAgain};

const TIMEOUT: Duration = Duration::from_secs(3);
const FOLD_FROM: usize = 1_500;

/// Far above all pauses and bounds that a test adds up, in paused time: what takes longer never
/// comes.
const EVER: Duration = Duration::from_secs(3_600);

/// What the handler has done, and how long after its making.
type Done = (String, Duration);

/// A message that joins those of its kind; kind `waits` waits while the handler is shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    name: &'static str,
    kind: u8,
    link: u64,
    process: Option<u64>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Message for Note {
    fn joins(&self, earlier: &Self) -> bool {
        self.kind == earlier.kind
    }

    fn supersedes(&self, earlier: &Self) -> bool {
        self.kind == 2 && earlier.kind == 2 && self.link == earlier.link
    }

    fn keys(&self) -> (LinkId, Option<Fid>) {
        (LinkId(self.link), self.process.map(process))
    }
}

fn process(n: u64) -> Fid {
    Fid::new(0x7200_0000_0000_0001, n)
}

fn named(name: &'static str) -> Request<Note> {
    message(name, 0, 1)
}

fn message(name: &'static str, kind: u8, n: u64) -> Request<Note> {
    Request::Message(Note {
        name,
        kind,
        link: n,
        process: Some(n),
    })
}

fn entrypoint(process: u64, number: u64) -> Request<Note> {
    Request::Entrypoint(EntrypointRequest {
        req_id: RequestId { hi: 0, lo: number },
        endpoint: String::new(),
        process: self::process(process),
        git_rev: String::new(),
        pid: 1,
        first: false,
    })
}

/// Messages of kind 0 are handled, and entrypoint requests answered, as long as it is open; while
/// it is shut messages wait, as in a retry, and entrypoint requests end in EAGAIN.
struct Fake {
    open: watch::Sender<bool>,
    made: Instant,
    done: Mutex<Vec<Done>>,
    /// How many requests each run had.
    runs: Mutex<Vec<usize>>,
    count: watch::Sender<usize>,
}

impl Fake {
    fn new(open: bool) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            open: watch::Sender::new(open),
            made: Instant::now(),
            done: Mutex::default(),
            runs: Mutex::default(),
            count: watch::Sender::new(0),
        })
    }

    fn note(&self, what: String) {
        self.done.lock().unwrap().push((what, self.made.elapsed()));
        self.count.send_modify(|count| *count += 1);
    }

    fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Waits until this much was done.
    async fn wait(&self, count: usize) -> Vec<Done> {
        let mut counted = self.count.subscribe();
        let counted = timeout(EVER, counted.wait_for(|n| *n >= count)).await;
        assert!(counted.is_ok(), "{count} in vain: {:?}", self.names());
        self.done.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<String> {
        let done = self.done.lock().unwrap();
        done.iter().map(|(what, _)| what.clone()).collect()
    }

    fn runs(&self) -> Vec<usize> {
        self.runs.lock().unwrap().clone()
    }
}

impl Handler for Fake {
    type Message = Note;

    async fn entrypoints(&self, run: Vec<Asked>) -> Vec<ToldAgain> {
        self.runs.lock().unwrap().push(run.len());
        let mut told = Vec::new();
        for Asked {
            request, deadline, ..
        } in run
        {
            let mut open = self.open.subscribe();
            let answered = timeout_at(deadline, open.wait_for(|open| *open)).await;
            let number = request.req_id.lo;
            if answered.is_ok() {
                self.note(format!("reply {number}"));
            } else {
                self.note(format!("again {number} in its turn"));
                told.push(ToldAgain {
                    process: request.process,
                    at: Instant::now(),
                });
            }
        }
        told
    }

    async fn again(&self, request: EntrypointRequest) {
        self.note(format!("again {}", request.req_id.lo));
    }

    async fn messages(&self, run: Vec<Note>) {
        self.runs.lock().unwrap().push(run.len());
        for message in run {
            if message.kind == 0 {
                let mut open = self.open.subscribe();
                open.wait_for(|open| *open).await.unwrap();
            }
            self.note(message.name.to_owned());
        }
    }

    async fn superseded(&self, message: Note) {
        self.note(format!("{} superseded", message.name));
    }
}

struct Fixture {
    fake: std::sync::Arc<Fake>,
    dispatcher: Dispatcher<Note>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(open: bool) -> Fixture {
    start_as(Mode::Queue, open)
}

fn start_as(mode: Mode, open: bool) -> Fixture {
    let fake = Fake::new(open);
    let cancel = CancellationToken::new();
    let options = Options {
        mode,
        entrypoint_timeout: TIMEOUT,
        fold_from: Some(FOLD_FROM),
    };
    let (dispatcher, task) =
        Dispatcher::spawn(std::sync::Arc::clone(&fake), options, cancel.clone());
    Fixture {
        fake,
        dispatcher,
        cancel,
        task,
    }
}

impl Fixture {
    async fn push(&self, requests: impl IntoIterator<Item = Request<Note>>) {
        for request in requests {
            self.dispatcher.push(request).await;
        }
    }

    /// Waits until the dispatcher has this much waiting behind the run in hand.
    async fn waiting(&mut self, count: usize) {
        let progress = &mut self.dispatcher.progress;
        let met = progress.wait_for(|now| now.waiting == count && now.in_hand.is_some());
        let met = timeout(EVER, met).await.map(|met| met.is_ok());
        assert_eq!(met, Ok(true), "{:?}", self.dispatcher.progress());
    }
}
