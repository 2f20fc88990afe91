//! What the interface reports.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use crate::entrypoint::EntrypointRequest;
use crate::fid::Fid;
use crate::handle::{Command, Counters};
use crate::id::{Epoch, LinkId, RequestId, Tag};
use crate::link::Link;
use crate::message::Message;

/// Something that happened, in the order in which the library reported it.
#[derive(Debug)]
pub enum Event {
    /// A process asks for its entrypoint.
    Entrypoint(EntrypointRequest),
    /// A message has come. Messages of one link come in the order in which they were sent.
    Message(Received),
    /// The answer to an entrypoint request has made a link.
    LinkConnected(Link),
    /// The answer to an entrypoint request went to a process whose link is alive already.
    LinkReused(Link),
    /// The answer to an entrypoint request went to a process whose link is dropped.
    LinkAbsent {
        /// The request.
        req_id: RequestId,
    },
    /// The link is being dropped: nothing can be sent on it any more.
    LinkDisconnecting(LinkId),
    /// The last event of a link.
    LinkDisconnected(LinkId),
}

/// A message of a process.
///
/// Once its effect is durable, say so with [`Received::delivered`]. Dropped without that it is not
/// acknowledged: the process keeps it, and sends it again to the next run of the bridge.
#[derive(Debug)]
#[must_use = "a message that is not said to be delivered is sent again"]
pub struct Received {
    /// The link it came on.
    pub link: LinkId,
    /// Its tag.
    pub tag: Tag,
    /// What the message is about: the process of a process event, for instance.
    pub fid: Fid,
    /// The process that made the message; nil if it is the one at the other end.
    pub source_process: Fid,
    /// The service that made the message; nil if none.
    pub source_service: Fid,
    /// When it was made: nanoseconds of `m0_time_t`, by the clock of the process.
    pub time: u64,
    /// `hm_epoch`.
    pub epoch: Epoch,
    /// The message itself.
    pub message: Message,
    /// Says that it is delivered; apart from the rest for those who take the message to pieces.
    pub ack: Ack,
}

impl Received {
    /// Tells the process that it need not send the message again.
    pub async fn delivered(self) {
        self.ack.delivered().await;
    }
}

/// The acknowledgement of one [`Received`] message.
#[derive(Debug)]
#[must_use = "a message that is not said to be delivered is sent again"]
pub struct Ack {
    link: LinkId,
    tag: Tag,
    commands: mpsc::Sender<Command>,
    counters: Arc<Counters>,
    done: bool,
}

impl Ack {
    pub(crate) fn new(
        link: LinkId,
        tag: Tag,
        commands: mpsc::Sender<Command>,
        counters: Arc<Counters>,
    ) -> Ack {
        counters.messages.fetch_add(1, Ordering::Relaxed);
        Ack {
            link,
            tag,
            commands,
            counters,
            done: false,
        }
    }

    /// Tells the process that it need not send the message again. For a link that is gone, or an
    /// interface that is stopped, it does nothing: the message will come again if it matters.
    ///
    /// Waits for a place in the queue of commands; the message is not acknowledged if the future is
    /// dropped before.
    pub async fn delivered(mut self) {
        let command = Command::Delivered {
            link: self.link,
            tag: self.tag,
        };
        self.done = self.commands.send(command).await.is_ok();
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.counters.messages.fetch_sub(1, Ordering::Relaxed);
        if !self.done {
            tracing::debug!(link = %self.link, tag = %self.tag, "message is not acknowledged");
        }
    }
}

/// Receives the events of an interface.
///
/// Keep receiving while the interface stops: its last messages want to be acknowledged too.
#[derive(Debug)]
pub struct Events {
    events: mpsc::UnboundedReceiver<Event>,
    counters: Arc<Counters>,
}

impl Events {
    /// The next event; none once the interface is stopped.
    pub async fn recv(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.counters.events.fetch_sub(1, Ordering::Relaxed);
        Some(event)
    }

    /// Events that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// The callbacks' end of [`Events`].
#[derive(Debug)]
pub(crate) struct EventSender {
    events: mpsc::UnboundedSender<Event>,
    counters: Arc<Counters>,
}

impl EventSender {
    #[expect(
        clippy::disallowed_methods,
        reason = "a callback must not wait. The embedded backend bounds what is queued: the \
                  undelivered messages of a link and of all links, 16 requests of a connection \
                  (rfc/6-wire.md); \
                  libmotr keeps each of those messages in its own memory, bounded or not"
    )]
    pub(crate) fn new(counters: &Arc<Counters>) -> (EventSender, Events) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let sender = EventSender {
            events: sender,
            counters: Arc::clone(counters),
        };
        (
            sender,
            Events {
                events: receiver,
                counters: Arc::clone(counters),
            },
        )
    }

    pub(crate) fn send(&self, event: Event) {
        // Counted before it can be received, so that the count never goes below zero.
        self.counters.events.fetch_add(1, Ordering::Relaxed);
        if self.events.send(event).is_err() {
            self.counters.events.fetch_sub(1, Ordering::Relaxed);
            tracing::debug!("nobody receives events any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn delivered_is_one_command_and_a_drop_is_none() {
        let (commands, mut receiver) = mpsc::channel(2);
        let counters = Arc::<Counters>::default();
        let ack = |tag| Ack::new(LinkId(1), Tag(tag), commands.clone(), Arc::clone(&counters));
        let (first, second) = (ack(2), ack(4));
        assert_eq!(counters.messages.load(Ordering::Relaxed), 2);
        first.delivered().await;
        drop(second);
        assert_eq!(counters.messages.load(Ordering::Relaxed), 0);
        drop(commands);
        let command = receiver.recv().await;
        assert!(matches!(
            command,
            Some(Command::Delivered {
                link: LinkId(1),
                tag: Tag(2)
            })
        ));
        assert!(receiver.recv().await.is_none());
    }

    #[tokio::test]
    async fn delivered_after_the_end_does_nothing() {
        let (commands, receiver) = mpsc::channel(1);
        drop(receiver);
        Ack::new(LinkId(1), Tag(2), commands, Arc::default())
            .delivered()
            .await;
    }

    #[tokio::test]
    async fn events_are_counted_until_received() {
        let counters = Arc::default();
        let (sender, mut events) = EventSender::new(&counters);
        sender.send(Event::LinkDisconnecting(LinkId(1)));
        sender.send(Event::LinkDisconnected(LinkId(1)));
        assert_eq!(
            (events.len(), counters.events.load(Ordering::Relaxed)),
            (2, 2)
        );
        assert!(matches!(
            events.recv().await,
            Some(Event::LinkDisconnecting(LinkId(1)))
        ));
        assert_eq!(
            (events.len(), counters.events.load(Ordering::Relaxed)),
            (1, 1)
        );
        drop(sender);
        assert!(events.recv().await.is_some());
        assert!(events.recv().await.is_none());
        assert!(events.is_empty());
    }

    #[test]
    fn an_event_that_nobody_receives_is_not_counted() {
        let counters = Arc::default();
        let (sender, events) = EventSender::new(&counters);
        drop(events);
        sender.send(Event::LinkDisconnected(LinkId(1)));
        assert_eq!(counters.events.load(Ordering::Relaxed), 0);
    }
}
