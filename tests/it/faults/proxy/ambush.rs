//! A fault for one request, chosen by what it writes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Fault;
use super::journal::writes;
use super::message::Message;

/// Chooses a transaction by the keys and values that it writes.
type Choice = dyn Fn(&[(String, String)]) -> bool + Send + Sync;

/// The first transaction that is chosen meets a fault, whichever proxy it goes through.
pub(crate) struct Ambush {
    fault: Fault,
    of: Box<Choice>,
    over: AtomicBool,
}

impl Ambush {
    pub(crate) fn new(
        fault: Fault,
        of: impl Fn(&[(String, String)]) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            fault,
            of: Box::new(of),
            over: AtomicBool::new(false),
        })
    }

    /// Whether somebody has met it.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The fault, if this request is the one.
    pub(super) fn meets(&self, request: &Message) -> Option<Fault> {
        let chosen = !self.is_over() && (self.of)(&writes(request)?);
        (chosen && !self.over.swap(true, Ordering::SeqCst)).then_some(self.fault)
    }
}

impl fmt::Debug for Ambush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}
