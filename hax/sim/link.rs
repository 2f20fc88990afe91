//! One end of an ha_link, the process's, without I/O.
//!
//! [`Link`] numbers messages, keeps each until DELIVERED has come for it, sends
//! them again on a new connection, and drops what it has received before ("Life of
//! a link" in 6/WIRE). Whoever owns the socket tells it what happened
//! ([`Link::connected`], [`Link::on_frame`], [`Link::disconnected`]) and writes what
//! [`Link::poll_transmit`] gives.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use halink::Fid;
use thiserror::Error;

use super::wire::{Body, EntrypointRep, EntrypointReq, Frame, LinkStatus, Msg, WireError};

/// Entrypoint requests of a connection that may be unanswered.
pub const REQUESTS_MAX: usize = 16;
/// Messages received and not yet delivered; the bridge may not send more.
pub const UNDELIVERED_MAX: usize = 1_024;
/// Messages sent and not yet delivered. Above what the bridge reads ahead, so that
/// its back-pressure can be seen.
pub const UNACKED_MAX: usize = 4_096;

/// What the process says of itself in every entrypoint request.
#[derive(Clone, Debug)]
pub struct Identity {
    pub process: Fid,
    pub pid: u64,
    /// The process's own endpoint: at most 255 bytes of printable ASCII.
    pub endpoint: String,
    /// For people: at most 255 bytes of printable ASCII.
    pub git_rev: String,
}

/// What the bridge did that 6/WIRE does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("{0} may not come from the bridge")]
    Direction(&'static str),
    #[error("{0} came before the connection carried a link")]
    Unbound(&'static str),
    #[error("reply has seq {got}, the oldest unanswered request has {want:?}")]
    Seq { got: u64, want: Option<u64> },
    #[error("{status} answers a request with first={first} in the wrong place")]
    Status { status: &'static str, first: u8 },
    #[error(
        "reply names link {got_link} of instance {got_instance}, the link is {link} of {instance}"
    )]
    OtherLink {
        got_instance: u64,
        got_link: u64,
        instance: u64,
        link: u64,
    },
    #[error("tag {0} of a message from the bridge is not odd")]
    Tag(u64),
    #[error("DELIVERED names tag {0}, which was never sent")]
    UnknownTag(u64),
    #[error("more than {UNDELIVERED_MAX} messages are not delivered")]
    TooManyUndelivered,
}

/// Too much waits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the link holds as many undelivered messages or unanswered requests as it may")]
pub struct Full;

/// What a frame from the bridge meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A reply; `bound` if it made the connection carry the link. After
    /// [`LinkStatus::Absent`] the link is dead.
    Reply { rep: EntrypointRep, bound: bool },
    /// A message, for the first time. Name it by `generation` and tag in
    /// [`Link::delivered`].
    Message { generation: u64, msg: Msg },
    /// A message that was received before; nothing is to be done.
    Duplicate(u64),
    /// A message we sent need not be sent again.
    Delivered(Msg),
    /// A second acknowledgement of a message.
    DeliveredBefore(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    None,
    /// Connected, and nothing sent yet.
    Fresh,
    /// The first request is on its way.
    Asked,
    /// The connection carries the link.
    Bound,
    /// ABSENT: no connection will carry it any more.
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    instance: u64,
    link: u64,
}

enum Item {
    Request(EntrypointReq),
    Msg(u64),
    Ack(u64),
}

/// State of the link of one incarnation of a process.
pub struct Link {
    identity: Identity,
    hold_first: bool,
    carrier: Carrier,
    binding: Option<Binding>,
    next_seq: u64,
    /// Asked for by the user, not on the wire.
    wanted: VecDeque<u64>,
    /// On the wire, oldest first: seq, first, and whether the user asked for it.
    unanswered: VecDeque<(u64, bool, bool)>,
    outbox: VecDeque<Item>,
    last_tag: u64,
    /// Highest tag that was ever handed out for writing.
    transmitted: u64,
    unacked: BTreeMap<u64, Msg>,
    highest: u64,
    undelivered: BTreeSet<u64>,
    generation: u64,
}

impl Link {
    /// A link that has never been connected.
    ///
    /// With `hold_first` the very first request waits for [`Link::request`];
    /// otherwise every connection begins with a request by itself.
    pub fn new(identity: Identity, hold_first: bool) -> Link {
        Link {
            identity,
            hold_first,
            carrier: Carrier::None,
            binding: None,
            next_seq: 1,
            wanted: VecDeque::new(),
            unanswered: VecDeque::new(),
            outbox: VecDeque::new(),
            last_tag: 0,
            transmitted: 0,
            unacked: BTreeMap::new(),
            highest: 0,
            undelivered: BTreeSet::new(),
            generation: 0,
        }
    }

    /// Messages sent and not yet delivered.
    pub fn unacked(&self) -> usize {
        self.unacked.len()
    }

    /// Frames that wait to be written.
    pub fn outbox(&self) -> usize {
        self.outbox.len()
    }

    /// Whether the connection carries the link.
    pub fn is_bound(&self) -> bool {
        self.carrier == Carrier::Bound
    }

    /// A new connection is there.
    pub fn connected(&mut self) {
        if self.carrier == Carrier::Dead {
            return;
        }
        self.carrier = Carrier::Fresh;
        if !self.hold_first || self.binding.is_some() || !self.wanted.is_empty() {
            self.begin();
        }
    }

    /// The connection is gone, and what was on it.
    pub fn disconnected(&mut self) {
        if self.carrier != Carrier::Dead {
            self.carrier = Carrier::None;
        }
        self.outbox.clear();
        while let Some((seq, _, asked)) = self.unanswered.pop_back() {
            if asked {
                self.wanted.push_front(seq);
            }
        }
    }

    /// Asks for the entrypoint; the reply carries the number returned.
    ///
    /// # Errors
    /// [`Full`]: too many requests wait already.
    pub fn request(&mut self) -> Result<u64, Full> {
        if self.wanted.len() + self.unanswered.len() >= 4 * REQUESTS_MAX {
            return Err(Full);
        }
        let seq = self.take_seq();
        self.wanted.push_back(seq);
        match self.carrier {
            Carrier::Fresh => self.begin(),
            Carrier::Bound => self.ask_wanted(),
            _ => {}
        }
        Ok(seq)
    }

    /// Sends a message, now or when a connection carries the link; `msg.tag` is set
    /// here and returned.
    ///
    /// # Errors
    /// [`Full`]: [`UNACKED_MAX`] messages are not delivered yet.
    pub fn send(&mut self, mut msg: Msg) -> Result<u64, Full> {
        if self.unacked.len() >= UNACKED_MAX {
            return Err(Full);
        }
        self.last_tag += 2;
        msg.tag = self.last_tag;
        self.unacked.insert(msg.tag, msg);
        if self.carrier == Carrier::Bound {
            self.outbox.push_back(Item::Msg(self.last_tag));
        }
        Ok(self.last_tag)
    }

    /// The received message need not be sent again. Nothing happens if it was
    /// delivered before, or received from an earlier run of the bridge.
    pub fn delivered(&mut self, generation: u64, tag: u64) {
        if generation != self.generation || !self.undelivered.remove(&tag) {
            return;
        }
        // Unbound, the bridge sends the message again, and the duplicate is acknowledged.
        if self.carrier == Carrier::Bound {
            self.outbox.push_back(Item::Ack(tag));
        }
    }

    /// Next frame to write on the connection.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        loop {
            match self.outbox.pop_front()? {
                Item::Request(req) => return Some(Frame::EntrypointReq(req)),
                Item::Ack(tag) => return Some(Frame::Delivered(tag)),
                Item::Msg(tag) => {
                    if let Some(msg) = self.unacked.get(&tag) {
                        self.transmitted = self.transmitted.max(tag);
                        return Some(Frame::Msg(msg.clone()));
                    }
                }
            }
        }
    }

    /// Takes a frame the bridge sent.
    ///
    /// # Errors
    /// The frame is bad: the connection must be closed.
    pub fn on_frame(&mut self, frame: Frame) -> Result<Incoming, LinkError> {
        let name = frame.name();
        match frame {
            Frame::EntrypointReq(_) => Err(LinkError::Direction(name)),
            Frame::EntrypointRep(rep) => self.on_reply(rep),
            _ if self.carrier != Carrier::Bound => Err(LinkError::Unbound(name)),
            Frame::Msg(msg) => self.on_msg(msg),
            Frame::Delivered(tag) if tag == 0 || tag % 2 == 1 || tag > self.transmitted => {
                Err(LinkError::UnknownTag(tag))
            }
            Frame::Delivered(tag) => Ok(match self.unacked.remove(&tag) {
                Some(msg) => Incoming::Delivered(msg),
                None => Incoming::DeliveredBefore(tag),
            }),
        }
    }

    fn on_msg(&mut self, msg: Msg) -> Result<Incoming, LinkError> {
        let tag = msg.tag;
        if tag.is_multiple_of(2) {
            return Err(LinkError::Tag(tag));
        }
        if tag <= self.highest {
            if !self.undelivered.contains(&tag) {
                self.outbox.push_back(Item::Ack(tag));
            }
            return Ok(Incoming::Duplicate(tag));
        }
        if self.undelivered.len() >= UNDELIVERED_MAX {
            return Err(LinkError::TooManyUndelivered);
        }
        self.highest = tag;
        self.undelivered.insert(tag);
        Ok(Incoming::Message {
            generation: self.generation,
            msg,
        })
    }

    fn on_reply(&mut self, rep: EntrypointRep) -> Result<Incoming, LinkError> {
        let (_, first, _) = match self.unanswered.front() {
            Some(request) if request.0 == rep.seq => *request,
            other => {
                return Err(LinkError::Seq {
                    got: rep.seq,
                    want: other.map(|r| r.0),
                });
            }
        };
        let wrong = LinkError::Status {
            status: rep.status.name(),
            first: u8::from(first),
        };
        match rep.status {
            LinkStatus::Connected if self.carrier == Carrier::Bound => return Err(wrong),
            LinkStatus::Connected => match self.binding {
                // A link of this very run is REUSED or ABSENT, never new.
                Some(known) if known.instance == rep.instance => return Err(wrong),
                Some(_) => self.forget_received(),
                None => {}
            },
            LinkStatus::Reused => self.check_same_link(&rep, wrong)?,
            LinkStatus::Absent if first => return Err(wrong),
            LinkStatus::Absent => {
                self.carrier = Carrier::Dead;
                self.outbox.clear();
                self.unanswered.clear();
                return Ok(Incoming::Reply { rep, bound: false });
            }
        }
        self.unanswered.pop_front();
        let bound = self.carrier != Carrier::Bound;
        if bound {
            self.binding = Some(Binding {
                instance: rep.instance,
                link: rep.link,
            });
            self.carrier = Carrier::Bound;
            self.outbox
                .extend(self.unacked.keys().map(|tag| Item::Msg(*tag)));
        }
        self.ask_wanted();
        Ok(Incoming::Reply { rep, bound })
    }

    fn check_same_link(&self, rep: &EntrypointRep, wrong: LinkError) -> Result<(), LinkError> {
        match self.binding {
            None => Err(wrong),
            Some(b) if b.instance == rep.instance && b.link == rep.link => Ok(()),
            Some(b) => Err(LinkError::OtherLink {
                got_instance: rep.instance,
                got_link: rep.link,
                instance: b.instance,
                link: b.link,
            }),
        }
    }

    /// Another run of the bridge numbers its messages from the start again.
    fn forget_received(&mut self) {
        self.highest = 0;
        self.undelivered.clear();
        self.generation += 1;
    }

    fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// The first frame of a connection.
    fn begin(&mut self) {
        self.carrier = Carrier::Asked;
        match self.wanted.pop_front() {
            Some(seq) => self.ask(seq, true),
            None => {
                let seq = self.take_seq();
                self.ask(seq, false);
            }
        }
    }

    fn ask_wanted(&mut self) {
        while self.unanswered.len() < REQUESTS_MAX {
            let Some(seq) = self.wanted.pop_front() else {
                break;
            };
            self.ask(seq, true);
        }
    }

    fn ask(&mut self, seq: u64, asked: bool) {
        let binding = self.binding;
        self.unanswered.push_back((seq, binding.is_none(), asked));
        self.outbox.push_back(Item::Request(EntrypointReq {
            seq,
            first: binding.is_none(),
            instance: binding.map_or(0, |b| b.instance),
            link: binding.map_or(0, |b| b.link),
            process: self.identity.process,
            pid: self.identity.pid,
            endpoint: self.identity.endpoint.clone(),
            git_rev: self.identity.git_rev.clone(),
        }));
    }
}

/// A message that has no tag yet.
pub fn draft(fid: Fid, source_process: Fid, source_service: Fid, time: u64, body: Body) -> Msg {
    Msg {
        tag: 0,
        fid,
        source_process,
        source_service,
        time,
        epoch: 0,
        body,
    }
}
