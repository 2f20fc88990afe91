//! Messages whose handling needs Consul, taken to pieces.

use std::fmt;
use std::time::Instant;

use halink::{Ack, Fid, LinkId, NvecGet, ProcessStatus};

use crate::dispatch::Message;

/// What the dispatcher keeps for its turn. `A` acknowledges the message.
#[derive(Debug)]
pub struct Job<A = Ack> {
    /// Counts the messages in the order of arrival.
    pub number: u64,
    /// The link it came on, which may have ended meanwhile.
    pub link: LinkId,
    /// What is to be done.
    pub task: Task,
    /// Acknowledges the message, once its effect is durable.
    pub ack: A,
    /// When it arrived.
    pub arrived: Instant,
    /// An operator has put it back from the dead letters.
    pub replayed: bool,
}

/// What is to be done for a message.
#[derive(Debug, Clone)]
pub enum Task {
    /// Write what a process said of itself.
    Status {
        /// The process, which need not be the one at the end of the link.
        process: Fid,
        /// What it said.
        status: ProcessStatus,
    },
    /// Answer an NVEC GET.
    Get(NvecGet),
    /// Do the rest of what a fatal message of this process asks for (`rfc/5-hax.md`, A1).
    Isolate(Fid),
}

impl Task {
    /// The process whose status it writes.
    pub fn process(&self) -> Option<Fid> {
        match self {
            Self::Status { process, .. } | Self::Isolate(process) => Some(*process),
            Self::Get(_) => None,
        }
    }
}

impl<A: Send + 'static> Message for Job<A> {
    /// Writes share a transaction, and GETs a view. A replayed message goes alone: whether a newer
    /// one has overtaken it is known when all before it have been handled.
    fn joins(&self, earlier: &Self) -> bool {
        let writes = |job: &Self| job.task.process().is_some();
        !self.replayed && !earlier.replayed && writes(self) == writes(earlier)
    }

    /// A status does so for an earlier one of the same process on the same link, which belongs to
    /// the same incarnation.
    fn supersedes(&self, earlier: &Self) -> bool {
        let status = |job: &Self| match job.task {
            Task::Status { process, .. } if !job.replayed => Some((job.link, process)),
            _ => None,
        };
        status(self).is_some() && status(self) == status(earlier)
    }

    fn keys(&self) -> (LinkId, Option<Fid>) {
        (self.link, self.task.process())
    }
}

impl<A> fmt::Display for Job<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Task::Status { process, .. } => write!(f, "M0_HA_MSG_EVENT_PROCESS of {process}"),
            Task::Get(get) => write!(f, "NVEC GET {} of link {}", get.id, self.link),
            Task::Isolate(process) => write!(f, "isolation of {process}"),
        }
    }
}
