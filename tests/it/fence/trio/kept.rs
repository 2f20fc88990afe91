//! A transaction that is on its way while others change what it depends on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use super::Trio;
use super::loss::Stage;
use crate::faults::proxy::{Ambush, Fault};
use crate::harness::eventually;

/// How often the daemon may have tried before it stands still; it waits 2 s for each answer.
const TRIES: usize = 10;

/// One transaction of an operation, in all its tries, by one daemon.
pub(super) struct Kept {
    by: usize,
    ambushes: Vec<Arc<Ambush>>,
    lies: Arc<AtomicBool>,
}

impl Kept {
    /// Lies in wait for it.
    pub(super) fn await_of(trio: &Trio, by: usize, target: &str, stage: Stage) -> Self {
        let lies = Arc::new(AtomicBool::new(true));
        let ambush = |_| {
            let (target, lies) = (target.to_owned(), Arc::clone(&lies));
            Ambush::new(Fault::Keep, move |writes| {
                let ops = writes
                    .iter()
                    .filter(|(key, _)| key.starts_with("fence/ops/"));
                let mut ops = ops.map(|(_, op)| serde_json::from_str::<Value>(op).unwrap());
                lies.load(Ordering::SeqCst)
                    && ops.any(|op| op["target"] == *target && Stage::of(&op) == Some(stage))
            })
        };
        let ambushes: Vec<_> = (0..TRIES).map(ambush).collect();
        for ambush in &ambushes {
            trio.proxies[by].ambush(ambush);
        }
        Self { by, ambushes, lies }
    }

    /// Waits until it has been sent. From then on its daemon does nothing else.
    pub(super) async fn sent(&self, trio: &Trio) {
        eventually("the transaction to be sent", async || {
            self.ambushes[0].is_over().then_some(())
        })
        .await;
        trio.bridges[self.by].signal(Signal::STOP);
    }

    /// Lets it arrive, and its daemon go on; no try of it was committed.
    pub(super) async fn comes_too_late(self, trio: &Trio) {
        self.lies.store(false, Ordering::SeqCst);
        let answers = trio.proxies[self.by].release().await;
        trio.bridges[self.by].signal(Signal::CONT);
        let refused = answers.iter().all(|status| *status == 409);
        assert!(!answers.is_empty() && refused, "{answers:?}");
    }
}
