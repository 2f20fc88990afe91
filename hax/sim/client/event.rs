//! What happens to a process, and where it stands.

use std::collections::BTreeMap;

use halink::Fid;
use tokio::sync::mpsc;

use super::End;
use crate::sim::wire::{EntrypointRep, LinkStatus, Msg};

/// A message from the bridge.
#[derive(Clone, Debug)]
pub struct Received {
    pub(crate) generation: u64,
    pub msg: Msg,
}

/// What happens to a process.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection is there.
    Connected,
    /// It is gone, and why.
    Disconnected(String),
    /// The bridge answered an entrypoint request.
    Entrypoint(EntrypointRep),
    /// A connection carries the link.
    Link {
        status: LinkStatus,
        instance: u64,
        link: u64,
    },
    /// A message was accepted for sending.
    Sent(Msg),
    Received(Received),
    /// A message came that was received before.
    Duplicate {
        tag: u64,
    },
    /// The bridge delivered our message.
    Delivered {
        tag: u64,
        name: &'static str,
    },
    /// The last event.
    Ended(End),
}

/// Events of one process, in order.
pub type Events = mpsc::Receiver<Event>;

/// Where a process stands.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Last state the bridge told of each object.
    pub objects: BTreeMap<Fid, u32>,
    /// How the present connection came to carry the link: status, instance, link.
    pub link: Option<(LinkStatus, u64, u64)>,
    pub connected: bool,
    /// Connections so far.
    pub connects: u64,
    /// Connections the bridge closed, or that broke.
    pub closes: u64,
    /// Messages sent and not yet delivered.
    pub unacked: usize,
    /// Last entrypoint reply, whatever its rc.
    pub entrypoint: Option<EntrypointRep>,
    /// Entrypoint replies with rc ≠ 0.
    pub again: u64,
    /// Messages received, by the name of their kind.
    pub received: BTreeMap<&'static str, u64>,
    pub end: Option<End>,
}
