//! What the callbacks work with.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};

use motr_sys as sys;
use tokio::sync::mpsc;

use crate::delivery::Deliveries;
use crate::entrypoint::{EntrypointRequest, StartGate};
use crate::event::{Event, EventSender};
use crate::fid::Fid;
use crate::handle::{Command, Counters};
use crate::sync::lock;

/// What the callbacks work with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) events: EventSender,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) deliveries: Arc<Deliveries>,
    pub(super) gate: Arc<StartGate>,
    pub(super) counters: Arc<Counters>,
    /// Our own process.
    pub(super) process: Fid,
    /// Requests of other processes that came before the interface has started, if they are held.
    pub(super) early: Mutex<Option<Vec<EntrypointRequest>>>,
    /// The interface, once `init` has made it; for the callbacks that call back.
    pub(super) bridge: AtomicPtr<sys::hax_bridge>,
}

impl Context {
    pub(crate) fn new(
        events: EventSender,
        commands: mpsc::Sender<Command>,
        deliveries: Arc<Deliveries>,
        gate: Arc<StartGate>,
        counters: Arc<Counters>,
        process: Fid,
    ) -> Context {
        let bridge = AtomicPtr::new(ptr::null_mut());
        // libmotr numbers links from 1 in each run, and takes a process that comes back from an
        // earlier run for whoever has its old number now. The bridge moves the numbers on when the
        // start is over, so nobody but our own process gets one before.
        let early = (super::backend() == "libmotr").then(Vec::new);
        Context {
            events,
            commands,
            deliveries,
            gate,
            counters,
            process,
            early: Mutex::new(early),
            bridge,
        }
    }

    /// Reports a request; one that comes too early waits for [`Context::started`].
    pub(super) fn report_request(&self, request: EntrypointRequest) {
        let mut early = lock(&self.early);
        match early.as_mut() {
            Some(held) if request.process != self.process => held.push(request),
            _ => self.events.send(Event::Entrypoint(request)),
        }
    }

    /// The interface has started: reports what was held, in the order in which it came.
    pub(super) fn started(&self) {
        let mut early = lock(&self.early);
        for request in early.take().into_iter().flatten() {
            self.events.send(Event::Entrypoint(request));
        }
    }

    pub(super) fn set_bridge(&self, bridge: NonNull<sys::hax_bridge>) {
        self.bridge.store(bridge.as_ptr(), Ordering::Release);
    }
}
