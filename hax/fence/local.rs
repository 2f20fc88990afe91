//! The Motr processes of this node, for `process` and `watchdog` devices (`rfc/12-fencing.md`,
//! "Killing a process").

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use halink::{Fid, ProcessType};
use tokio::sync::{oneshot, watch};

use super::executor::LocalProcesses;
use super::model::{EVIDENCE_MAX, Ended, NodeName, RunResult};
use crate::cluster::{Snapshot, StoredType};
use crate::death::{Deaths, Proc, Survives};

/// Processes that are killed at one time at most, each by a thread.
const KILLS_MAX: usize = 256;

/// What such a thread needs of its stack: it reads small files.
const STACK: usize = 256 * 1024;

/// The processes that the death watch has identified, and those that `m0conf/` names.
#[derive(Debug, Clone)]
pub struct MotrProcesses {
    /// This node's name in Consul.
    pub node: NodeName,
    /// The bridge's own process, which is never killed.
    pub own: Fid,
    /// Who is there.
    pub deaths: Arc<Deaths>,
    /// What Consul says, once there is a view.
    view: Arc<OnceLock<watch::Receiver<Snapshot>>>,
    /// Kills under way.
    running: Arc<AtomicUsize>,
}

impl MotrProcesses {
    /// `own` is the bridge's own process, on this node.
    pub fn new(node: NodeName, own: Fid, deaths: Arc<Deaths>) -> Self {
        Self {
            node,
            own,
            deaths,
            view: Arc::default(),
            running: Arc::default(),
        }
    }

    /// Gives it the view, which is started later. Until then it knows of `m0conf/` nothing.
    pub fn set_view(&self, view: watch::Receiver<Snapshot>) {
        // The first one stays; there is only one.
        let _ = self.view.set(view);
    }

    fn is_in_kernel(&self, process: Fid) -> bool {
        let view = self.view.get();
        let status = view.and_then(|view| view.borrow().processes.get(process));
        status.is_some_and(|status| status.kind == StoredType::Motr(ProcessType::Kernel))
    }

    fn refusal(&self, process: Fid) -> Option<&'static str> {
        if process == self.own {
            return Some("it is the bridge's own process");
        }
        self.is_in_kernel(process)
            .then_some("it runs in the kernel, which only ends with the node")
    }
}

impl LocalProcesses for MotrProcesses {
    /// A thread of its own waits, so that this works when the runtime is stuck.
    fn kill(&self, process: Fid, timeout: Duration) -> oneshot::Receiver<Ended> {
        let (reply, answer) = oneshot::channel();
        let begin = Instant::now();
        if let Some(why) = self.refusal(process) {
            let _ = reply.send(ended(RunResult::Refused, why, begin));
            return answer;
        }
        if self.running.fetch_add(1, Ordering::AcqRel) >= KILLS_MAX {
            self.running.fetch_sub(1, Ordering::AcqRel);
            let why = format!("{KILLS_MAX} processes are being killed already");
            let _ = reply.send(ended(RunResult::Refused, &why, begin));
            return answer;
        }
        let (deaths, running) = (Arc::clone(&self.deaths), Arc::clone(&self.running));
        let thread = std::thread::Builder::new()
            .name("kill".to_owned())
            .stack_size(STACK);
        let spawned = thread.spawn(move || {
            let outcome = deaths.kill(&Proc::default(), process, timeout);
            running.fetch_sub(1, Ordering::AcqRel);
            let (result, evidence) = match outcome {
                Ok(evidence) => (RunResult::Success, evidence),
                Err(error) => (class(&error), error.to_string()),
            };
            // Who asked may have gone.
            let _ = reply.send(ended(result, &evidence, begin));
        });
        if spawned.is_err() {
            // The reply went with the thread: whoever waits is told that nothing came of it.
            self.running.fetch_sub(1, Ordering::AcqRel);
        }
        answer
    }

    fn all(&self) -> Vec<Fid> {
        let configured = match self.view.get() {
            Some(view) => view.borrow().tree.processes_on(self.node.as_str()).to_vec(),
            None => Vec::new(),
        };
        let all = configured.into_iter().chain(self.deaths.may_live());
        let all: BTreeSet<Fid> = all.collect();
        let mut all = Vec::from_iter(all);
        all.retain(|process| *process != self.own);
        all
    }

    fn node(&self) -> NodeName {
        self.node.clone()
    }
}

fn class(error: &Survives) -> RunResult {
    match error {
        Survives::InTime(_) => RunResult::Timeout,
        Survives::Signal { .. } => RunResult::NotAcknowledged,
        Survives::Unknown(_) => RunResult::Unreachable,
    }
}

fn ended(result: RunResult, evidence: &str, begin: Instant) -> Ended {
    let mut ends = (0..=EVIDENCE_MAX.min(evidence.len())).rev();
    let end = ends
        .find(|end| evidence.is_char_boundary(*end))
        .unwrap_or(0);
    Ended {
        result,
        evidence: evidence.get(..end).unwrap_or_default().to_owned(),
        took_ms: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
