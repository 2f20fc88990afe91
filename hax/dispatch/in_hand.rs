//! The runs that are being handled.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::request::{Key, Message, Run, ToldAgain};

type Work = Pin<Box<dyn Future<Output = (u64, Vec<ToldAgain>)> + Send>>;

/// What one run holds.
struct Held {
    what: String,
    since: Instant,
    keys: Vec<Key>,
    /// In mode `queue`, entrypoint requests behind these keep their place.
    entrypoints: bool,
}

/// Runs in hand, with what they keep waiting.
#[derive(Default)]
pub(super) struct InHand {
    work: FuturesUnordered<Work>,
    held: BTreeMap<u64, Held>,
    runs: u64,
}

impl InHand {
    /// Runs in hand.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes a run in hand; `work` handles it.
    pub(super) fn add<M: Message, F>(
        &mut self,
        run: Run<M>,
        now: Instant,
        work: impl FnOnce(Run<M>) -> F,
    ) where
        F: Future<Output = Vec<ToldAgain>> + Send + 'static,
    {
        let number = self.runs;
        self.runs += 1;
        let (keys, entrypoints) = match &run {
            Run::Entrypoints(run) => {
                let keys = run.iter().map(|asked| Key::Process(asked.request.process));
                (keys.collect(), true)
            }
            Run::Messages(run) => {
                let keys = run.iter().flat_map(|message| {
                    let (link, process) = message.keys();
                    std::iter::once(Key::Link(link)).chain(process.map(Key::Process))
                });
                (keys.collect(), false)
            }
        };
        let what = run.describe();
        let held = Held {
            what,
            since: now,
            keys,
            entrypoints,
        };
        self.held.insert(number, held);
        let work = work(run);
        self.work
            .push(Box::pin(async move { (number, work.await) }));
    }

    /// Waits until a run has been handled; pending for ever if there is none.
    pub(super) async fn finish(&mut self) -> Vec<ToldAgain> {
        match self.work.next().await {
            Some((number, told_again)) => {
                self.held.remove(&number);
                told_again
            }
            None => std::future::pending().await,
        }
    }

    /// What the runs in hand are to be kept in order with.
    pub(super) fn keys(&self) -> HashSet<Key> {
        self.held
            .values()
            .flat_map(|held| held.keys.iter().copied())
            .collect()
    }

    /// Keys of entrypoint requests in hand.
    pub(super) fn entrypoint_keys(&self) -> HashSet<Key> {
        let entrypoints = self.held.values().filter(|held| held.entrypoints);
        entrypoints
            .flat_map(|held| held.keys.iter().copied())
            .collect()
    }

    /// The number of the run that has been in hand longest.
    pub(super) fn oldest_number(&self) -> Option<u64> {
        self.held.keys().next().copied()
    }

    /// The run that has been in hand longest: what it is, and since when.
    pub(super) fn oldest(&self) -> Option<(String, Instant)> {
        let held = self.held.values().next()?;
        Some((held.what.clone(), held.since))
    }
}
