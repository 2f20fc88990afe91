//! The concurrency of halink's own, in every order that two threads can bring about (loom).
//!
//! The modules under test are compiled into this program, with locks that loom sees through. What
//! it covers: outcomes of messages that are reported, early or late, while the message is being
//! sent, while its link ends, and while nobody waits any more; and the race for who answers our own
//! entrypoint request when a start is given up. What it does not: channels are Tokio's, each
//! operation on one is a single step here, and the queue of events is nothing but such a channel.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "the modules are whole, and this program uses a part of each"
)]

#[path = "../src/delivery.rs"]
mod delivery;
#[path = "../src/id.rs"]
mod id;
#[path = "../src/start_gate.rs"]
mod start_gate;

/// What `src/sync.rs` is to the library.
mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }
}

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::mpsc;
use loom::thread;

use delivery::{Deliveries, Delivery, DeliveryOutcome};
use id::{LinkId, RequestId, Tag};
use start_gate::StartGate;

const LINK: LinkId = LinkId(1);
const OTHER: LinkId = LinkId(2);

/// Sends a message; `library` is what happens once the library knows it.
fn send<T>(
    deliveries: &Arc<Deliveries>,
    link: LinkId,
    tag: Tag,
    library: impl FnOnce() -> T,
) -> (Delivery, T) {
    let sending = deliveries.sending([link]);
    let done = library();
    (sending.sent([(link, tag)]).remove(0), done)
}

/// Does something with the deliveries as a callback does.
fn callback(
    deliveries: &Arc<Deliveries>,
    body: impl FnOnce(&Deliveries) + 'static,
) -> thread::JoinHandle<()> {
    let deliveries = Arc::clone(deliveries);
    thread::spawn(move || body(&deliveries))
}

fn outcome(delivery: Delivery) -> Option<DeliveryOutcome> {
    let mut delivery = pin!(delivery);
    match delivery
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn an_outcome_is_heard_however_early() {
    let deliveries = Arc::new(Deliveries::default());
    let (delivery, reporter) = send(&deliveries, LINK, Tag(1), || {
        callback(&deliveries, |deliveries| {
            deliveries.report(LINK, Tag(1), DeliveryOutcome::Delivered);
        })
    });
    reporter.join().unwrap();
    assert_eq!(outcome(delivery), Some(DeliveryOutcome::Delivered));
}

fn outcomes_of_two_messages_are_not_confused() {
    let deliveries = Arc::new(Deliveries::default());
    let (first, one) = send(&deliveries, LINK, Tag(1), || {
        callback(&deliveries, |deliveries| {
            deliveries.report(LINK, Tag(1), DeliveryOutcome::Delivered);
        })
    });
    let (second, two) = send(&deliveries, LINK, Tag(3), || {
        callback(&deliveries, |deliveries| {
            deliveries.report(LINK, Tag(3), DeliveryOutcome::NotDelivered);
        })
    });
    one.join().unwrap();
    two.join().unwrap();
    assert_eq!(outcome(first), Some(DeliveryOutcome::Delivered));
    assert_eq!(outcome(second), Some(DeliveryOutcome::NotDelivered));
}

fn the_end_of_a_link_answers_for_its_messages_only() {
    let deliveries = Arc::new(Deliveries::default());
    let (other, ()) = send(&deliveries, OTHER, Tag(1), || {});
    let (before, ()) = send(&deliveries, LINK, Tag(1), || {});
    let (during, ended) = send(&deliveries, LINK, Tag(3), || {
        callback(&deliveries, |deliveries| {
            deliveries.report(LINK, Tag(1), DeliveryOutcome::Delivered);
            deliveries.link_gone(LINK);
        })
    });
    ended.join().unwrap();
    assert_eq!(outcome(before), Some(DeliveryOutcome::Delivered));
    assert_eq!(outcome(during), Some(DeliveryOutcome::NotDelivered));
    assert_eq!(outcome(other), None);
}

fn the_end_of_the_interface_answers_for_all() {
    let deliveries = Arc::new(Deliveries::default());
    let (before, ()) = send(&deliveries, OTHER, Tag(1), || {});
    let (during, closed) = send(&deliveries, LINK, Tag(1), || {
        callback(&deliveries, Deliveries::close)
    });
    closed.join().unwrap();
    assert_eq!(outcome(before), Some(DeliveryOutcome::NotDelivered));
    assert_eq!(outcome(during), Some(DeliveryOutcome::NotDelivered));
}

fn nobody_need_wait() {
    let deliveries = Arc::new(Deliveries::default());
    let (delivery, reporter) = send(&deliveries, LINK, Tag(1), || {
        callback(&deliveries, |deliveries| {
            deliveries.report(LINK, Tag(1), DeliveryOutcome::Delivered);
            deliveries.link_gone(LINK);
        })
    });
    drop(delivery);
    reporter.join().unwrap();
    assert_eq!(deliveries.waiting(), 0);
    // A number that is used again is another message.
    let (again, ()) = send(&deliveries, LINK, Tag(1), || {});
    assert_eq!(outcome(again), None);
}

/// What the sending thread is told.
#[derive(PartialEq)]
enum Command {
    Answer,
    Wake,
    Shutdown,
}

/// Our own request comes while the start is given up. It is answered once: by its callback, by the
/// sender that is woken, or before that by the user.
fn our_own_request_is_answered_once() {
    let gate = Arc::new(StartGate::default());
    let answers = Arc::new(AtomicUsize::new(0));
    let req_id = RequestId { hi: 0, lo: 1 };
    let (commands, queue) = mpsc::channel();
    let user = commands.clone();
    let comes = {
        let (gate, answers) = (Arc::clone(&gate), Arc::clone(&answers));
        thread::spawn(move || {
            if gate.requested(req_id) {
                answers.fetch_add(1, Ordering::Relaxed);
            } else {
                // The user hears of it, and answers by a command.
                let _ = user.send(Command::Answer);
            }
        })
    };
    let sender = {
        let (gate, answers) = (Arc::clone(&gate), Arc::clone(&answers));
        thread::spawn(move || {
            // The library takes one answer of a request.
            let mut answered = false;
            loop {
                let command = queue.recv().unwrap();
                if command == Command::Answer && !answered {
                    answered = true;
                    answers.fetch_add(1, Ordering::Relaxed);
                    gate.answered(req_id);
                }
                if gate.take_given_up().is_some() {
                    assert!(!answered, "the gate offers a request that has its answer");
                    answered = true;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                if command == Command::Shutdown {
                    break;
                }
            }
        })
    };
    gate.give_up();
    commands.send(Command::Wake).unwrap();
    comes.join().unwrap();
    commands.send(Command::Shutdown).unwrap();
    sender.join().unwrap();
    assert_eq!(answers.load(Ordering::Relaxed), 1);
}

/// The same where the user never answers, because Consul is down.
fn a_start_given_up_needs_no_user() {
    let gate = Arc::new(StartGate::default());
    let req_id = RequestId { hi: 0, lo: 1 };
    let (commands, queue) = mpsc::channel::<()>();
    let comes = {
        let gate = Arc::clone(&gate);
        thread::spawn(move || usize::from(gate.requested(req_id)))
    };
    let gives_up = {
        let gate = Arc::clone(&gate);
        thread::spawn(move || {
            gate.give_up();
            let _ = commands.send(());
        })
    };
    queue.recv().unwrap();
    let by_sender = usize::from(gate.take_given_up().is_some());
    let by_callback = comes.join().unwrap();
    gives_up.join().unwrap();
    // The gate is empty when the sender looks at it only if the callback has not run, and then it
    // finds that the start is given up.
    assert_eq!(by_sender + by_callback, 1);
}

fn main() {
    let models: [(&str, fn()); 7] = [
        (
            "an outcome is heard however early",
            an_outcome_is_heard_however_early,
        ),
        (
            "outcomes of two messages are not confused",
            outcomes_of_two_messages_are_not_confused,
        ),
        (
            "the end of a link answers for its messages only",
            the_end_of_a_link_answers_for_its_messages_only,
        ),
        (
            "the end of the interface answers for all",
            the_end_of_the_interface_answers_for_all,
        ),
        ("nobody need wait", nobody_need_wait),
        (
            "our own request is answered once",
            our_own_request_is_answered_once,
        ),
        (
            "a start given up needs no user",
            a_start_given_up_needs_no_user,
        ),
    ];
    for (name, model) in models {
        let begin = std::time::Instant::now();
        let orders = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&orders);
        loom::model(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            model();
        });
        let orders = orders.load(std::sync::atomic::Ordering::Relaxed);
        println!("model {name}: {orders} orders, {:?}", begin.elapsed());
    }
}
