//! Messages whose handling needs Consul, taken to pieces.

use std::fmt;

use halink::{Ack, Fid, LinkId, NvecGet, ProcessStatus};

/// What the dispatcher keeps for its turn.
#[derive(Debug)]
pub struct Job {
    /// The link it came on, which may have ended meanwhile.
    pub link: LinkId,
    /// What is to be done.
    pub task: Task,
    /// Acknowledges the message, once its effect is durable.
    pub ack: Ack,
}

/// What is to be done for a message.
#[derive(Debug)]
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

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Task::Status { process, .. } => write!(f, "M0_HA_MSG_EVENT_PROCESS of {process}"),
            Task::Get(get) => write!(f, "NVEC GET {} of link {}", get.id, self.link),
            Task::Isolate(process) => write!(f, "isolation of {process}"),
        }
    }
}
