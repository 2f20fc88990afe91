//! Callbacks of the library.
//!
//! A callback copies what it is given into values of Rust, hands them over and returns. It takes no
//! lock that is held for longer than a few instructions, and no panic of it reaches C: the panic is
//! counted and logged, and a message whose callback panicked stays undelivered.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};

use motr_sys as sys;
use tokio::sync::mpsc;

use super::calls::entrypoint_reply;
use super::{message, text};
use crate::convert;
use crate::delivery::{Deliveries, DeliveryOutcome};
use crate::entrypoint::{EntrypointReply, EntrypointRequest, StartGate};
use crate::error::Errno;
use crate::event::{Ack, Event, EventSender, Received};
use crate::fid::Fid;
use crate::handle::{Command, Counters};
use crate::id::{Epoch, LinkId, RequestId, Tag};
use crate::link::Link;
use crate::sync::lock;

/// What the callbacks work with.
#[derive(Debug)]
pub(crate) struct Context {
    events: EventSender,
    commands: mpsc::Sender<Command>,
    deliveries: Arc<Deliveries>,
    gate: Arc<StartGate>,
    counters: Arc<Counters>,
    /// Our own process.
    process: Fid,
    /// Requests of other processes that came before the interface has started, if they are held.
    early: Mutex<Option<Vec<EntrypointRequest>>>,
    /// The interface, once `init` has made it; for the callbacks that call back.
    bridge: AtomicPtr<sys::hax_bridge>,
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
    fn report_request(&self, request: EntrypointRequest) {
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

/// The table of callbacks for `context`.
pub(super) fn table(context: *const Context) -> sys::hax_callbacks {
    sys::hax_callbacks {
        ctx: context.cast_mut().cast(),
        entrypoint_request: Some(on_entrypoint_request),
        msg_received: Some(on_msg_received),
        msg_is_delivered: Some(on_msg_is_delivered),
        msg_is_not_delivered: Some(on_msg_is_not_delivered),
        link: Some(on_link),
        log: Some(on_log),
    }
}

/// Runs the body of a callback.
///
/// # Safety
///
/// `ctx` is the context of an interface that is not yet finalised.
unsafe fn guard(ctx: *mut c_void, callback: &'static str, body: impl FnOnce(&Context)) {
    // SAFETY: the context is released only after `fini` has returned (the caller's promise), and
    // shared by all callbacks as `&Context`, which is `Sync`.
    let context = unsafe { &*ctx.cast_const().cast::<Context>() };
    if catch_unwind(AssertUnwindSafe(|| body(context))).is_err() {
        context
            .counters
            .callback_panics
            .fetch_add(1, Ordering::Relaxed);
        // Whatever panicked may have been the subscriber.
        let _ =
            catch_unwind(|| tracing::error!(callback, "a callback of the HA interface panicked"));
    }
}

fn request_id(raw: sys::hax_uint128) -> RequestId {
    RequestId {
        hi: raw.hi,
        lo: raw.lo,
    }
}

unsafe extern "C" fn on_entrypoint_request(
    ctx: *mut c_void,
    request: *const sys::hax_entrypoint_request,
) {
    let body = |context: &Context| {
        // SAFETY: the library lends the request, with its strings, for this call.
        let request = unsafe {
            let raw = &*request;
            EntrypointRequest {
                req_id: request_id(raw.req_id),
                endpoint: text(raw.remote_endpoint),
                process: convert::fid(raw.process),
                git_rev: text(raw.git_rev_id),
                pid: raw.pid,
                first: raw.first,
            }
        };
        if request.process == context.process && context.gate.requested(request.req_id) {
            give_up_start(context, request.req_id);
        } else {
            context.report_request(request);
        }
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "entrypoint_request", body) }
}

/// Answers our own request without the user, who wants to stop.
fn give_up_start(context: &Context, req_id: RequestId) {
    let Some(bridge) = NonNull::new(context.bridge.load(Ordering::Acquire)) else {
        return;
    };
    // SAFETY: a callback runs, so the interface is not finalised; callbacks may call the library.
    if let Err(errno) = unsafe { entrypoint_reply(bridge, req_id, &EntrypointReply::of_nobody()) } {
        tracing::error!(%req_id, %errno, "cannot answer our own entrypoint request");
    }
}

unsafe extern "C" fn on_msg_received(
    ctx: *mut c_void,
    link: u64,
    tag: u64,
    msg: *const sys::hax_msg,
) {
    let body = |context: &Context| {
        let (link, tag) = (LinkId(link), Tag(tag));
        // SAFETY: the library lends the message, with all it points to, for this call.
        let (raw, message) = unsafe {
            let raw = &*msg;
            (raw, message::decode(raw))
        };
        context.events.send(Event::Message(Received {
            link,
            tag,
            fid: convert::fid(raw.fid),
            source_process: convert::fid(raw.source_process),
            source_service: convert::fid(raw.source_service),
            time: raw.time,
            epoch: Epoch(raw.epoch),
            message,
            ack: Ack::new(
                link,
                tag,
                context.commands.clone(),
                Arc::clone(&context.counters),
            ),
        }));
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "msg_received", body) }
}

unsafe extern "C" fn on_msg_is_delivered(ctx: *mut c_void, link: u64, tag: u64) {
    let body = |context: &Context| {
        context
            .deliveries
            .report(LinkId(link), Tag(tag), DeliveryOutcome::Delivered);
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "msg_is_delivered", body) }
}

unsafe extern "C" fn on_msg_is_not_delivered(ctx: *mut c_void, link: u64, tag: u64) {
    let body = |context: &Context| {
        context
            .deliveries
            .report(LinkId(link), Tag(tag), DeliveryOutcome::NotDelivered);
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "msg_is_not_delivered", body) }
}

unsafe extern "C" fn on_link(ctx: *mut c_void, event: *const sys::hax_link_event) {
    let body = |context: &Context| {
        // SAFETY: the library lends the event, with its string, for this call.
        let (raw, endpoint) = unsafe { (&*event, text((*event).remote_endpoint)) };
        let id = LinkId(raw.link);
        let req_id = request_id(raw.req_id);
        let link = || Link {
            id,
            req_id,
            process: convert::fid(raw.process),
            endpoint,
        };
        match raw.kind {
            sys::hax_link_event_kind::HAX_LINK_CONNECTED => {
                context.events.send(Event::LinkConnected(link()))
            }
            sys::hax_link_event_kind::HAX_LINK_REUSED => {
                context.events.send(Event::LinkReused(link()))
            }
            sys::hax_link_event_kind::HAX_LINK_ABSENT => {
                context.events.send(Event::LinkAbsent { req_id })
            }
            sys::hax_link_event_kind::HAX_LINK_DISCONNECTING => {
                context.events.send(Event::LinkDisconnecting(id));
                disconnect(context, id);
            }
            sys::hax_link_event_kind::HAX_LINK_DISCONNECTED => {
                context.deliveries.link_gone(id);
                context.events.send(Event::LinkDisconnected(id));
            }
            kind => tracing::error!(kind = kind.0, link = %id, "unknown event of a link"),
        }
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "link", body) }
}

/// Agrees to the end of a link: the library wants it from the callback itself.
fn disconnect(context: &Context, link: LinkId) {
    let bridge = context.bridge.load(Ordering::Acquire);
    if bridge.is_null() {
        return;
    }
    // SAFETY: a callback runs, so the interface is not finalised; callbacks may call the library.
    if let Err(errno) = Errno::check(unsafe { sys::hax_bridge_disconnect(bridge, link.0) }) {
        tracing::error!(%link, %errno, "cannot disconnect");
    }
}

unsafe extern "C" fn on_log(ctx: *mut c_void, level: sys::hax_log_level, line: *const c_char) {
    let body = |_: &Context| {
        // SAFETY: the library lends the string for this call.
        let line = unsafe { text(line) };
        match level {
            sys::hax_log_level::HAX_LOG_ERROR => tracing::error!(target: "ha_link", "{line}"),
            sys::hax_log_level::HAX_LOG_WARN => tracing::warn!(target: "ha_link", "{line}"),
            sys::hax_log_level::HAX_LOG_INFO => tracing::info!(target: "ha_link", "{line}"),
            _ => tracing::debug!(target: "ha_link", "{line}"),
        }
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "log", body) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Events;

    const LINK: u64 = 7;

    struct Fixture {
        context: Context,
        events: Events,
        commands: mpsc::Receiver<Command>,
    }

    impl Fixture {
        fn new() -> Fixture {
            let counters = Arc::default();
            let (sender, events) = EventSender::new(&counters);
            let (commands, receiver) = mpsc::channel(4);
            let process = Fid::new(1, 1);
            let context = Context::new(
                sender,
                commands,
                Arc::default(),
                Arc::default(),
                counters,
                process,
            );
            Fixture {
                context,
                events,
                commands: receiver,
            }
        }

        fn ctx(&self) -> *mut c_void {
            ptr::from_ref(&self.context).cast_mut().cast()
        }

        fn event(&mut self) -> Event {
            assert!(!self.events.is_empty());
            let mut receive = std::pin::pin!(self.events.recv());
            let waker = std::task::Waker::noop();
            match receive
                .as_mut()
                .poll(&mut std::task::Context::from_waker(waker))
            {
                std::task::Poll::Ready(Some(event)) => event,
                other => panic!("no event: {other:?}"),
            }
        }
    }

    #[test]
    fn a_panic_does_not_leave_a_callback() {
        let mut fixture = Fixture::new();
        // SAFETY: the context is alive.
        unsafe { guard(fixture.ctx(), "test", |_| panic!("on purpose")) };
        assert_eq!(
            fixture
                .context
                .counters
                .callback_panics
                .load(Ordering::Relaxed),
            1
        );
        assert!(fixture.events.is_empty());
        assert!(fixture.commands.try_recv().is_err());
        // SAFETY: the context is alive.
        unsafe { on_msg_is_delivered(fixture.ctx(), LINK, 1) };
    }

    #[test]
    fn strings_that_are_not_utf_8_are_replaced_and_null_is_empty() {
        let mut fixture = Fixture::new();
        let request = sys::hax_entrypoint_request {
            remote_endpoint: c"unix:/\xff".as_ptr(),
            ..Default::default()
        };
        // SAFETY: the context, the request and its string are alive.
        unsafe { on_entrypoint_request(fixture.ctx(), &request) };
        match fixture.event() {
            Event::Entrypoint(request) => {
                assert_eq!(request.endpoint, "unix:/\u{fffd}");
                assert_eq!(request.git_rev, "");
            }
            other => panic!("not a request: {other:?}"),
        }
    }

    #[test]
    fn our_own_request_is_the_users_until_the_start_is_given_up() {
        let mut fixture = Fixture::new();
        let request = sys::hax_entrypoint_request {
            process: convert::raw_fid(Fid::new(1, 1)),
            ..Default::default()
        };
        // SAFETY: the context and the request are alive; there is no interface to answer.
        unsafe { on_entrypoint_request(fixture.ctx(), &request) };
        assert!(matches!(fixture.event(), Event::Entrypoint(_)));
        fixture.context.gate.give_up();
        // SAFETY: as above.
        unsafe { on_entrypoint_request(fixture.ctx(), &request) };
        assert!(fixture.events.is_empty());
    }

    #[test]
    fn requests_that_are_held_are_reported_in_order_when_the_start_is_over() {
        let mut fixture = Fixture::new();
        fixture.context.early = Mutex::new(Some(Vec::new()));
        let ask = |fixture: &Fixture, key| {
            let request = sys::hax_entrypoint_request {
                process: convert::raw_fid(Fid::new(1, key)),
                ..Default::default()
            };
            // SAFETY: the context and the request are alive.
            unsafe { on_entrypoint_request(fixture.ctx(), &request) };
        };
        let asked = |fixture: &mut Fixture| match fixture.event() {
            Event::Entrypoint(request) => request.process.key(),
            other => panic!("not a request: {other:?}"),
        };
        for key in [3, 1, 2] {
            ask(&fixture, key);
        }
        assert_eq!(asked(&mut fixture), 1, "our own is not held");
        assert!(fixture.events.is_empty());
        fixture.context.started();
        ask(&fixture, 4);
        assert_eq!([3, 2, 4].map(|_| asked(&mut fixture)), [3, 2, 4]);
    }

    #[test]
    fn the_end_of_a_link_is_the_end_of_its_deliveries() {
        let mut fixture = Fixture::new();
        let delivery = fixture
            .context
            .deliveries
            .sending([LinkId(LINK)])
            .sent([(LinkId(LINK), Tag(1))])
            .remove(0);
        let event = sys::hax_link_event {
            link: LINK,
            kind: sys::hax_link_event_kind::HAX_LINK_DISCONNECTED,
            ..Default::default()
        };
        // SAFETY: the context and the event are alive.
        unsafe { on_link(fixture.ctx(), &event) };
        assert!(matches!(
            fixture.event(),
            Event::LinkDisconnected(LinkId(LINK))
        ));
        let mut delivery = std::pin::pin!(delivery);
        let waker = std::task::Waker::noop();
        let outcome = delivery
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
        assert_eq!(
            outcome,
            std::task::Poll::Ready(DeliveryOutcome::NotDelivered)
        );
    }

    thread_local! {
        /// Where the events of this thread went, and whether each makes the subscriber panic.
        static SEEN: std::cell::RefCell<Vec<(&'static str, tracing::Level)>> = const {
            std::cell::RefCell::new(Vec::new())
        };
        static PANICS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    /// Takes the events of each thread apart. It is the only one of the process: whether a place of
    /// the code logs at all is remembered for the whole process, and subscribers that come and go
    /// with the tests beside this one would change it.
    struct Subscriber;

    impl tracing::Subscriber for Subscriber {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let metadata = event.metadata();
            SEEN.with_borrow_mut(|seen| seen.push((metadata.target(), *metadata.level())));
            assert!(!PANICS.get(), "on purpose");
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    fn log(panics: bool, fixture: &Fixture) -> Vec<(&'static str, tracing::Level)> {
        // The other test may have set it.
        let _ = tracing::subscriber::set_global_default(Subscriber);
        SEEN.take();
        PANICS.set(panics);
        for level in [1, 2, 3, 4, 99] {
            // SAFETY: the context and the string are alive.
            unsafe { on_log(fixture.ctx(), sys::hax_log_level(level), c"line".as_ptr()) };
        }
        PANICS.set(false);
        SEEN.take()
    }

    #[test]
    fn lines_of_log_go_to_their_own_target() {
        use tracing::Level;
        let levels = [
            Level::ERROR,
            Level::WARN,
            Level::INFO,
            Level::DEBUG,
            Level::DEBUG,
        ];
        assert_eq!(
            log(false, &Fixture::new()),
            levels.map(|level| ("ha_link", level))
        );
    }

    #[test]
    fn a_subscriber_that_panics_does_not_either() {
        let fixture = Fixture::new();
        // Each line, and the report of its panic.
        assert_eq!(log(true, &fixture).len(), 10);
        assert_eq!(
            fixture
                .context
                .counters
                .callback_panics
                .load(Ordering::Relaxed),
            5
        );
    }
}
