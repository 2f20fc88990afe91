//! What waits for its turn, and what keeps two requests in order.

use std::fmt::Display;

use halink::{EntrypointRequest, Fid, LinkId};
use tokio::time::Instant;

/// What keeps requests in order in mode `lanes`: those that share one are handled in the order
/// of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// They came on one link.
    Link(LinkId),
    /// They are about one process.
    Process(Fid),
}

/// A message whose handling needs Consul. `Display` says what it is, for people.
pub trait Message: Display + Send + 'static {
    /// Whether it can share a round trip with one that arrived before it, with no other request
    /// in between.
    fn joins(&self, earlier: &Self) -> bool;

    /// Whether one that arrived before it need not be handled once this one is known.
    fn supersedes(&self, earlier: &Self) -> bool;

    /// Its link and, if it changes the state of one, that process.
    fn keys(&self) -> (LinkId, Option<Fid>);
}

/// What waits for its turn.
#[derive(Debug)]
pub enum Request<M> {
    /// A process asks for the entrypoint.
    Entrypoint(EntrypointRequest),
    /// A message whose handling needs Consul.
    Message(M),
}

impl<M: Message> Request<M> {
    /// Whether both are handled in one run when nothing is between them.
    pub(super) fn joins(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Entrypoint(_), Self::Entrypoint(_)) => true,
            (Self::Message(message), Self::Message(earlier)) => message.joins(earlier),
            _ => false,
        }
    }

    /// What keeps it in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + use<M> {
        let (link, process) = match self {
            Self::Entrypoint(request) => (None, Some(request.process)),
            Self::Message(message) => {
                let (link, process) = message.keys();
                (Some(link), process)
            }
        };
        let process = process.map(Key::Process);
        link.map(Key::Link).into_iter().chain(process)
    }
}

/// A request with the moment it arrived.
#[derive(Debug)]
pub struct Item<M> {
    /// The request.
    pub request: Request<M>,
    /// When its callback ran.
    pub arrived: Instant,
}

/// An entrypoint request whose turn has come.
#[derive(Debug)]
pub struct Asked {
    /// The request.
    pub request: EntrypointRequest,
    /// When its callback ran.
    pub arrived: Instant,
    /// When it is to be answered EAGAIN (7/ORDER, O5).
    pub deadline: Instant,
}

/// A process was answered EAGAIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldAgain {
    /// The process.
    pub process: Fid,
    /// When.
    pub at: Instant,
}

/// Requests that are handled together, in the order of arrival; never empty.
#[derive(Debug)]
pub enum Run<M> {
    /// They share one read.
    Entrypoints(Vec<Asked>),
    /// They share one round trip.
    Messages(Vec<M>),
}

impl<M: Message> Run<M> {
    /// What it is, for people.
    pub(super) fn describe(&self) -> String {
        let (count, first) = match self {
            Self::Entrypoints(run) => {
                let first = run.first().map(|asked| asked.request.process);
                let first = first.map(|process| format!("entrypoint request of {process}"));
                (run.len(), first.unwrap_or_default())
            }
            Self::Messages(run) => {
                let first = run.first().map(ToString::to_string).unwrap_or_default();
                (run.len(), first)
            }
        };
        match count {
            0 | 1 => first,
            count => format!("{count} requests, the first: {first}"),
        }
    }
}
