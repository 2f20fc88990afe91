//! The handling of requests under the real dispatcher, against a model of Consul whose answers get
//! lost, come late or refuse, and compared with handling one request after another.

mod consul;
mod letters;
mod motr;
mod property;
mod runs;

use std::sync::Arc;
use std::time::{Duration, Instant};

use halink::{
    EntrypointRequest, Fid, LinkId, NvecGet, ProcessEvent, ProcessStatus, ProcessType, RequestId,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Counters, DeadLetters, Job, Links, Record, RetryPolicy, SharedVerdicts, Task, Work};
use crate::cluster::{StoredStatus, StoredType};
use crate::death::Deaths;
use crate::dispatch::{Dispatcher, Mode, Options, Request};

use consul::Consul;
use motr::{Motr, Said};

const OWN: Fid = process(0);

/// Far above all pauses and bounds that a test adds up, in paused time: what takes longer never
/// comes.
const EVER: Duration = Duration::from_secs(3_600);

const fn process(n: u64) -> Fid {
    Fid::new(0x7200_0000_0000_0001, n)
}

/// What a process asks for or says, over the link of the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask {
    Event(StoredStatus),
    /// The states of these processes.
    Get(Vec<u64>),
    Entrypoint,
    /// It, of a process that has just started.
    First,
}

struct Fixture {
    consul: Consul,
    motr: Motr,
    letters: Arc<DeadLetters<u64>>,
    dispatcher: Dispatcher<Job<u64>>,
}

fn start(mode: Mode, consul: Consul) -> Fixture {
    start_folding(mode, consul, None)
}

fn start_folding(mode: Mode, consul: Consul, fold_from: Option<usize>) -> Fixture {
    let motr = Motr::default();
    let letters = Arc::new(DeadLetters::default());
    let work = Work {
        store: consul.clone(),
        replies: motr.clone(),
        node: "n".to_owned(),
        links: Arc::new(Links::new(OWN)),
        deaths: Arc::new(Deaths::new(16)),
        verdicts: SharedVerdicts::default(),
        counters: Arc::new(Counters::default()),
        retry: RetryPolicy {
            min: Duration::from_millis(10),
            max: Duration::from_millis(200),
            attempt: Duration::from_secs(3),
        },
        record: Record::new(true),
        letters: Arc::clone(&letters),
        unknown: Default::default(),
    };
    let options = Options {
        mode,
        entrypoint_timeout: Duration::from_secs(2),
        fold_from,
    };
    // The task ends with the dispatcher.
    let (dispatcher, _task) = Dispatcher::spawn(Arc::new(work), options, CancellationToken::new());
    Fixture {
        consul,
        motr,
        letters,
        dispatcher,
    }
}

impl Fixture {
    /// Pushes what process `from` says as request `number`.
    async fn push(&self, number: u64, from: u64, ask: &Ask) {
        let job = |task| {
            Request::Message(Job {
                number,
                link: LinkId(from),
                task,
                ack: number,
                arrived: Instant::now(),
                replayed: false,
            })
        };
        let request = match ask {
            Ask::Event(StoredStatus {
                state,
                kind: StoredType::Motr(kind),
            }) => job(Task::Status {
                process: process(from),
                status: ProcessStatus {
                    event: *state,
                    kind: *kind,
                    pid: 1,
                },
            }),
            Ask::Event(_) => panic!("a process does not say that it is a bridge"),
            Ask::Get(processes) => job(Task::Get(NvecGet {
                id: number,
                objects: processes.iter().map(|n| process(*n)).collect(),
                ignore_same_state: false,
            })),
            Ask::Entrypoint | Ask::First => Request::Entrypoint(EntrypointRequest {
                req_id: RequestId { hi: 0, lo: number },
                endpoint: String::new(),
                process: process(from),
                git_rev: String::new(),
                pid: 1,
                first: *ask == Ask::First,
            }),
        };
        self.dispatcher.push(request).await;
    }

    /// Waits until there are so many letters.
    async fn letters(&self, count: usize) -> Vec<u64> {
        let there = async {
            while self.letters.ids().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let there = timeout(EVER, there).await;
        assert!(there.is_ok(), "{count} in vain: {:?}", self.letters.rows());
        self.letters.ids()
    }
}
