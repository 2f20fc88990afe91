//! What became of the messages we sent.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::id::{LinkId, Tag};
use crate::sync::{Mutex, lock};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryOutcome {
    /// The process has said that it need not be sent again.
    Delivered,
    /// The link went before the process said so. It may or may not have seen the message.
    NotDelivered,
}

impl DeliveryOutcome {
    /// Whether it is [`DeliveryOutcome::Delivered`].
    #[must_use]
    pub fn is_delivered(self) -> bool {
        self == DeliveryOutcome::Delivered
    }
}

/// Resolves when it is known what became of a message. Dropping it changes nothing for the message.
///
/// A process that hangs keeps it waiting as long as its link lives: bound the wait.
#[derive(Debug)]
#[must_use = "a message that is sent is not yet delivered"]
pub struct Delivery {
    key: (LinkId, Tag),
    outcome: oneshot::Receiver<DeliveryOutcome>,
    known: bool,
    deliveries: Arc<Deliveries>,
}

impl Delivery {
    /// The link the message was sent on.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.key.0
    }

    /// The tag of the message.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.key.1
    }
}

impl Future for Delivery {
    type Output = DeliveryOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<DeliveryOutcome> {
        let outcome = Pin::new(&mut self.outcome).poll(cx);
        self.known = outcome.is_ready();
        // A sender is dropped without an outcome only with the whole interface.
        outcome.map(|outcome| outcome.unwrap_or(DeliveryOutcome::NotDelivered))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.known {
            lock(&self.deliveries.0).waiting.remove(&self.key);
        }
    }
}

/// All messages that somebody waits for.
///
/// The library may report the outcome of a message before the call that sent it has returned its
/// tag. So the thread that sends announces each send; outcomes on its links that nobody waits for
/// are kept until it has ended.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeMap<(LinkId, Tag), oneshot::Sender<DeliveryOutcome>>,
    sending: Option<Sending>,
    closed: bool,
}

#[derive(Debug)]
struct Sending {
    links: BTreeSet<LinkId>,
    early: BTreeMap<(LinkId, Tag), DeliveryOutcome>,
    gone: BTreeSet<LinkId>,
}

/// A send under way.
#[derive(Debug)]
pub(crate) struct SendingGuard<'a>(&'a Arc<Deliveries>);

impl Deliveries {
    /// Announces a send of one message on these links. There is one thread that sends, so there is
    /// at most one at a time.
    pub(crate) fn sending(
        self: &Arc<Self>,
        links: impl IntoIterator<Item = LinkId>,
    ) -> SendingGuard<'_> {
        let links = links.into_iter().collect();
        lock(&self.0).sending = Some(Sending {
            links,
            early: BTreeMap::new(),
            gone: BTreeSet::new(),
        });
        SendingGuard(self)
    }

    /// The library has reported the outcome of a message.
    pub(crate) fn report(&self, link: LinkId, tag: Tag, outcome: DeliveryOutcome) {
        let mut inner = lock(&self.0);
        if let Some(waiter) = inner.waiting.remove(&(link, tag)) {
            drop(inner);
            // Whoever waited may have gone this very moment.
            let _ = waiter.send(outcome);
        } else if let Some(sending) = inner
            .sending
            .as_mut()
            .filter(|sending| sending.links.contains(&link))
        {
            sending.early.insert((link, tag), outcome);
        }
        // Otherwise the `Delivery` was dropped.
    }

    /// The link is disconnected: nothing else of it will be reported.
    pub(crate) fn link_gone(&self, link: LinkId) {
        let mut inner = lock(&self.0);
        if let Some(sending) = inner
            .sending
            .as_mut()
            .filter(|sending| sending.links.contains(&link))
        {
            sending.gone.insert(link);
        }
        let range = (link, Tag(0))..=(link, Tag(u64::MAX));
        let keys: Vec<_> = inner.waiting.range(range).map(|(key, _)| *key).collect();
        let waiters: Vec<_> = keys
            .iter()
            .filter_map(|key| inner.waiting.remove(key))
            .collect();
        drop(inner);
        for waiter in waiters {
            let _ = waiter.send(DeliveryOutcome::NotDelivered);
        }
    }

    /// The interface is at its end: nothing at all will be reported.
    pub(crate) fn close(&self) {
        let mut inner = lock(&self.0);
        inner.closed = true;
        let waiters = std::mem::take(&mut inner.waiting);
        drop(inner);
        for waiter in waiters.into_values() {
            let _ = waiter.send(DeliveryOutcome::NotDelivered);
        }
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.0).waiting.len()
    }
}

impl SendingGuard<'_> {
    /// The message was sent and has these tags.
    pub(crate) fn sent(self, tags: impl IntoIterator<Item = (LinkId, Tag)>) -> Vec<Delivery> {
        let mut inner = lock(&self.0.0);
        let sending = inner.sending.take();
        let known = |key: &(LinkId, Tag)| {
            let sending = sending.as_ref()?;
            let early = sending.early.get(key).copied();
            let gone = sending.gone.contains(&key.0);
            early.or(gone.then_some(DeliveryOutcome::NotDelivered))
        };
        let mut delivery = |key| {
            let (sender, outcome) = oneshot::channel();
            let closed = inner.closed.then_some(DeliveryOutcome::NotDelivered);
            match known(&key).or(closed) {
                Some(outcome) => {
                    let _ = sender.send(outcome);
                }
                None => {
                    inner.waiting.insert(key, sender);
                }
            }
            Delivery {
                key,
                outcome,
                known: false,
                deliveries: Arc::clone(self.0),
            }
        };
        tags.into_iter().map(&mut delivery).collect()
    }
}

impl Drop for SendingGuard<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).sending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(1);
    const OTHER: LinkId = LinkId(2);

    fn sent(sending: SendingGuard<'_>, link: LinkId, tag: u64) -> Delivery {
        sending.sent([(link, Tag(tag))]).remove(0)
    }

    fn send(deliveries: &Arc<Deliveries>, link: LinkId, tag: u64) -> Delivery {
        sent(deliveries.sending([link]), link, tag)
    }

    #[tokio::test]
    async fn an_outcome_reaches_its_message_only() {
        let deliveries = Arc::new(Deliveries::default());
        let first = send(&deliveries, LINK, 1);
        let second = send(&deliveries, LINK, 3);
        let other = send(&deliveries, OTHER, 1);
        deliveries.report(LINK, Tag(3), DeliveryOutcome::NotDelivered);
        deliveries.report(LINK, Tag(1), DeliveryOutcome::Delivered);
        deliveries.report(OTHER, Tag(1), DeliveryOutcome::Delivered);
        assert_eq!(first.await, DeliveryOutcome::Delivered);
        assert_eq!(second.await, DeliveryOutcome::NotDelivered);
        assert_eq!(other.await, DeliveryOutcome::Delivered);
        assert_eq!(deliveries.waiting(), 0);
    }

    #[tokio::test]
    async fn an_outcome_may_come_before_the_tag() {
        let deliveries = Arc::new(Deliveries::default());
        let sending = deliveries.sending([LINK]);
        deliveries.report(LINK, Tag(5), DeliveryOutcome::Delivered);
        assert_eq!(sent(sending, LINK, 5).await, DeliveryOutcome::Delivered);
        // An outcome that came early is not taken for that of a later send.
        let later = send(&deliveries, LINK, 5);
        assert_eq!(deliveries.waiting(), 1);
        drop(later);
    }

    #[tokio::test]
    async fn an_early_outcome_of_another_message_is_forgotten_with_the_send() {
        let deliveries = Arc::new(Deliveries::default());
        drop(send(&deliveries, LINK, 1));
        let sending = deliveries.sending([LINK]);
        deliveries.report(LINK, Tag(1), DeliveryOutcome::NotDelivered);
        let delivery = sent(sending, LINK, 3);
        deliveries.report(LINK, Tag(3), DeliveryOutcome::Delivered);
        assert_eq!(delivery.await, DeliveryOutcome::Delivered);
    }

    #[tokio::test]
    async fn a_link_takes_its_messages_with_it() {
        let deliveries = Arc::new(Deliveries::default());
        let waiting = send(&deliveries, LINK, u64::MAX);
        let other = send(&deliveries, OTHER, 1);
        let sending = deliveries.sending([LINK]);
        deliveries.link_gone(LINK);
        assert_eq!(sent(sending, LINK, 3).await, DeliveryOutcome::NotDelivered);
        assert_eq!(waiting.await, DeliveryOutcome::NotDelivered);
        assert_eq!(deliveries.waiting(), 1);
        deliveries.close();
        assert_eq!(other.await, DeliveryOutcome::NotDelivered);
        assert_eq!(
            send(&deliveries, OTHER, 3).await,
            DeliveryOutcome::NotDelivered
        );
    }

    #[tokio::test]
    async fn outcomes_of_a_broadcast_that_come_early_are_told_apart() {
        let deliveries = Arc::new(Deliveries::default());
        let gone = LinkId(3);
        let sending = deliveries.sending([LINK, OTHER, gone]);
        deliveries.report(OTHER, Tag(1), DeliveryOutcome::Delivered);
        deliveries.report(LinkId(4), Tag(1), DeliveryOutcome::Delivered);
        deliveries.link_gone(gone);
        let mut sent = sending.sent([(LINK, Tag(1)), (OTHER, Tag(1)), (gone, Tag(1))]);
        assert_eq!(deliveries.waiting(), 1);
        assert_eq!(sent.remove(2).await, DeliveryOutcome::NotDelivered);
        assert_eq!(sent.remove(1).await, DeliveryOutcome::Delivered);
        deliveries.report(LINK, Tag(1), DeliveryOutcome::Delivered);
        assert_eq!(sent.remove(0).await, DeliveryOutcome::Delivered);
    }

    #[test]
    fn a_dropped_delivery_leaves_nothing() {
        let deliveries = Arc::new(Deliveries::default());
        for tag in 0..100 {
            drop(send(&deliveries, LINK, tag));
        }
        drop(deliveries.sending([LINK]));
        assert_eq!(deliveries.waiting(), 0);
        deliveries.report(LINK, Tag(7), DeliveryOutcome::Delivered);
        assert!(lock(&deliveries.0).sending.is_none());
    }

    #[tokio::test]
    async fn outcomes_that_race_with_their_sends_are_all_seen() {
        let deliveries = Arc::new(Deliveries::default());
        let (tags, reported) = std::sync::mpsc::channel::<u64>();
        let reporter = {
            let deliveries = Arc::clone(&deliveries);
            std::thread::spawn(move || {
                for tag in reported {
                    deliveries.report(LINK, Tag(tag), DeliveryOutcome::Delivered);
                }
            })
        };
        let sent: Vec<_> = (0..10_000)
            .map(|tag| {
                let sending = deliveries.sending([LINK]);
                tags.send(tag).unwrap();
                sent(sending, LINK, tag)
            })
            .collect();
        drop(tags);
        reporter.join().unwrap();
        for delivery in sent {
            assert_eq!(delivery.await, DeliveryOutcome::Delivered);
        }
        assert_eq!(deliveries.waiting(), 0);
    }
}
