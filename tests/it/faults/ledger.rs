//! What processes have said, what they were told, and whether Consul has it.
//!
//! Each process says a sequence of events of which any sixteen in a row differ, and keeps at most
//! [`WINDOW`] on their way. So a value in KV tells which event of the sequence it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use halink::{Fid, ProcessEvent, ProcessType};
use hax::cluster::process::{alias_key, key};
use hax::sim::client::{Delivery, Event, Events, SimProcess};
use hax::sim::wire::{Body, ConfEvent};
use tokio::sync::watch;

use super::proxy::journal::{Commit, Journal};
use crate::harness::eventually;

/// Events of a process on their way at most: fewer than half of those that differ.
const WINDOW: usize = 6;

/// The event with this number. STOPPED is left out: it ends the link.
fn event(number: usize) -> (ProcessEvent, ProcessType) {
    let events = [
        ProcessEvent::Starting,
        ProcessEvent::Started,
        ProcessEvent::Stopping,
        ProcessEvent::DtmRecovered,
    ];
    let kinds = [
        ProcessType::M0d,
        ProcessType::Other,
        ProcessType::Kernel,
        ProcessType::M0mkfs,
    ];
    (events[number % 4], kinds[number / 4 % 4])
}

/// What KV has after it.
fn value(number: usize) -> String {
    let (event, kind) = event(number);
    format!(r#"{{"state":"{event}","type":"{kind}"}}"#)
}

/// An event that was sent, and when the process was told that it is delivered.
#[derive(Debug, Clone, Copy)]
struct Sent {
    tag: u64,
    delivered: Option<u64>,
}

/// The side of one process.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    process: Fid,
    said: Arc<AtomicUsize>,
    sent: Arc<Mutex<Vec<Sent>>>,
    /// How often each NVEC GET was answered, by its number.
    answers: Arc<Mutex<BTreeMap<u64, usize>>>,
}

/// What was found to be right.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Verdict {
    /// Events that were delivered.
    pub(super) events: usize,
    /// Writes of events that had been written before.
    pub(super) again: usize,
}

impl Ledger {
    /// Begins to write down what happens to a process.
    pub(super) fn open(process: Fid, mut events: Events, journal: Arc<Journal>) -> Self {
        let sent = Arc::new(Mutex::new(Vec::<Sent>::new()));
        let ledger = Self {
            process,
            said: Arc::default(),
            sent: Arc::clone(&sent),
            answers: Arc::default(),
        };
        let answers = Arc::clone(&ledger.answers);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let mut sent = sent.lock().unwrap();
                match event {
                    Event::Sent(msg) => {
                        if let Body::Process(ConfEvent { .. }) = msg.body {
                            sent.push(Sent {
                                tag: msg.tag,
                                delivered: None,
                            });
                        }
                    }
                    Event::Delivered { tag, .. } => {
                        let found = sent.iter_mut().find(|sent| sent.tag == tag);
                        if let Some(sent) = found {
                            let before = sent.delivered.replace(journal.tick());
                            assert!(before.is_none(), "delivered twice");
                        }
                    }
                    Event::Received(received) => {
                        if let Body::Nvec { id_of_get, .. } = received.msg.body
                            && id_of_get != 0
                        {
                            *answers.lock().unwrap().entry(id_of_get).or_default() += 1;
                        }
                    }
                    _ => {}
                }
            }
        });
        ledger
    }

    /// Says events until it is told to stop, and returns when all are delivered.
    pub(super) async fn report(&self, sim: &SimProcess, stop: watch::Receiver<bool>) {
        let mut waiting = VecDeque::new();
        while !*stop.borrow() {
            if waiting.len() == WINDOW {
                delivered(waiting.pop_front()).await;
            }
            waiting.push_back(self.say_one(sim).await);
        }
        while !waiting.is_empty() {
            delivered(waiting.pop_front()).await;
        }
    }

    /// Says this many events, which it does not wait for. There must be none on their way.
    pub(super) async fn say(&self, sim: &SimProcess, count: usize) {
        assert!(count <= WINDOW);
        for _ in 0..count {
            // What becomes of it is in the ledger.
            drop(self.say_one(sim).await);
        }
    }

    async fn say_one(&self, sim: &SimProcess) -> Delivery {
        let (event, kind) = event(self.said.fetch_add(1, Ordering::Relaxed));
        sim.process_event(event, kind).await.unwrap()
    }

    /// Waits until the process was told that all it said is delivered.
    pub(super) async fn settled(&self) {
        let what = format!("all events of {} to be delivered", self.process);
        eventually(&what, async || {
            (self.delivered() == self.said()).then_some(())
        })
        .await;
    }

    /// Events that it has said.
    pub(super) fn said(&self) -> usize {
        self.said.load(Ordering::Relaxed)
    }

    /// How often each NVEC GET was answered.
    pub(super) fn answers(&self) -> Vec<usize> {
        self.answers.lock().unwrap().values().copied().collect()
    }

    /// Events that the process was told to be delivered.
    pub(super) fn delivered(&self) -> usize {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|sent| sent.delivered.is_some()).count()
    }

    /// Holds what Consul has committed against what the process said and was told.
    ///
    /// # Panics
    /// An event was delivered and not written, written out of order, or never said; or one was
    /// written again after the process was told that it is delivered; or one is not delivered.
    pub(super) fn check(&self, journal: &Journal) -> Verdict {
        let commits = journal.commits();
        let writes = self.writes(&commits);
        let sent = self.sent.lock().unwrap().clone();
        let mut verdict = Verdict {
            events: sent.len(),
            again: 0,
        };
        // When the first write of each event was passed on.
        let mut first = Vec::<u64>::new();
        let mut last: Option<usize> = None;
        for (at, (forwarded, written)) in writes.iter().enumerate() {
            let next = last.map_or(0, |last| last + 1);
            let about = || self.about(&writes, at);
            let known = |number: &usize| *number < sent.len() && value(*number) == *written;
            // A value that is not the next one is one of those that are still on their way.
            let again = (next.saturating_sub(WINDOW)..next).rev().find(known);
            let number = known(&next).then_some(next).or(again);
            let number = number.unwrap_or_else(|| {
                panic!(
                    "{} wrote {written} after event {last:?}{}",
                    self.process,
                    about()
                )
            });
            if number < first.len() {
                verdict.again += 1;
                let told = sent[number].delivered;
                assert!(
                    told.is_none_or(|told| told > *forwarded),
                    "{}: event {number} was written again after it was delivered{}",
                    self.process,
                    about()
                );
            } else {
                first.push(*forwarded);
            }
            last = Some(number);
        }
        for (number, sent) in sent.iter().enumerate() {
            let told = sent.delivered;
            let told = told.unwrap_or_else(|| panic!("event {number} is not delivered"));
            let written = first.get(number).is_some_and(|forwarded| *forwarded < told);
            assert!(written, "{}: event {number} was lost", self.process);
        }
        assert_eq!(last, sent.len().checked_sub(1), "{}", self.process);
        verdict
    }

    /// What was written of this process, and when it was passed on. Both of its keys are written
    /// alike in each transaction.
    fn writes(&self, commits: &[Commit]) -> Vec<(u64, String)> {
        let (key, alias) = (key(self.process), alias_key(self.process));
        let mut writes = Vec::new();
        for commit in commits {
            let of = |key: &str| -> Vec<&String> {
                let written = commit.writes.iter().filter(|(written, _)| written == key);
                written.map(|(_, value)| value).collect()
            };
            let values = of(&key);
            assert_eq!(values, of(&alias), "{key} and {alias} differ: {commit:?}");
            writes.extend(values.into_iter().map(|v| (commit.forwarded, v.clone())));
        }
        writes
    }

    fn about(&self, writes: &[(u64, String)], at: usize) -> String {
        let around = &writes[at.saturating_sub(8)..(at + 3).min(writes.len())];
        format!("; around it: {around:#?}")
    }

    /// What KV must have at the end.
    pub(super) fn last_value(&self) -> Option<String> {
        Some(value(self.said().checked_sub(1)?))
    }

    /// The process.
    pub(super) fn process(&self) -> Fid {
        self.process
    }
}

async fn delivered(delivery: Option<Delivery>) {
    if let Some(delivery) = delivery {
        super::delivered(delivery).await;
    }
}
