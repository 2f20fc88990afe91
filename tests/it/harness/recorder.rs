//! Everything that happened to a process, in order.

use halink::{Fid, HaState};
use hax::sim::client::{Event, Events, Received};
use hax::sim::wire::{Body, EntrypointRep, Msg, NVEC_SET, Note};
use tokio::sync::watch;
use tokio::time::Instant;

use super::PATIENCE;

/// Takes the events of a process and keeps them.
#[derive(Clone)]
pub(crate) struct Recorder(watch::Receiver<Vec<(Instant, Event)>>);

impl Recorder {
    /// Starts to take events.
    pub(crate) fn spawn(mut events: Events) -> Self {
        let (keep, kept) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                keep.send_modify(|kept| kept.push((Instant::now(), event)));
            }
        });
        Self(kept)
    }

    /// What has happened so far.
    pub(crate) fn events(&self) -> Vec<(Instant, Event)> {
        self.0.borrow().clone()
    }

    /// Waits until what has happened gives a value.
    pub(crate) async fn wait<T>(
        &self,
        what: &str,
        met: impl Fn(&[(Instant, Event)]) -> Option<T>,
    ) -> T {
        let mut kept = self.0.clone();
        let waited = kept.wait_for(|events| met(events).is_some());
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(Ok(events)) => met(&events).unwrap(),
            _ => panic!("{what}: not among {:#?}", self.events()),
        }
    }

    /// Messages received so far.
    pub(crate) fn messages(&self) -> Vec<Msg> {
        messages(&self.events())
    }

    /// Waits until a received message gives a value.
    pub(crate) async fn wait_message<T>(&self, what: &str, met: impl Fn(&Msg) -> Option<T>) -> T {
        self.wait(what, |events| messages(events).iter().find_map(&met))
            .await
    }

    /// Notes of every NVEC SET received so far, in order.
    pub(crate) fn notes(&self) -> Vec<Note> {
        notes(&self.events())
    }

    /// States told of an object so far, in order.
    pub(crate) fn states_of(&self, object: Fid) -> Vec<HaState> {
        let of = self
            .notes()
            .into_iter()
            .filter(|note| note.object == object);
        of.map(|note| HaState::from_raw(note.state).unwrap())
            .collect()
    }

    /// Waits until a state of an object is told after `before` others, and says when it came.
    pub(crate) async fn wait_nth_state(&self, object: Fid, before: usize) -> Instant {
        self.wait(&format!("state {before} of {object}"), |events| {
            let mut seen = 0;
            events.iter().find_map(|event| {
                let of = notes(std::slice::from_ref(event));
                seen += of.iter().filter(|note| note.object == object).count();
                (seen > before).then_some(event.0)
            })
        })
        .await
    }

    /// Entrypoint replies so far, in order.
    pub(crate) fn replies(&self) -> Vec<EntrypointRep> {
        let events = self.events();
        let replies = events.iter().filter_map(|(_, event)| match event {
            Event::Entrypoint(reply) => Some(reply.clone()),
            _ => None,
        });
        replies.collect()
    }
}

fn messages(events: &[(Instant, Event)]) -> Vec<Msg> {
    let received = events.iter().filter_map(|(_, event)| match event {
        Event::Received(Received { msg, .. }) => Some(msg.clone()),
        _ => None,
    });
    received.collect()
}

fn notes(events: &[(Instant, Event)]) -> Vec<Note> {
    let sets = messages(events)
        .into_iter()
        .filter_map(|msg| match msg.body {
            Body::Nvec {
                kind: NVEC_SET,
                notes,
                ..
            } => Some(notes),
            _ => None,
        });
    sets.flatten().collect()
}
