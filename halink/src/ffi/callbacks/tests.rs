use std::ptr;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::*;
use crate::event::{EventSender, Events};
use crate::fid::Fid;
use crate::handle::Command;

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
