//! What a line holds.

use serde::{Deserialize, Serialize};

use super::chain::Hash;
use crate::fence::model::{Action, Ended, NodeName, OpId, Outcome, Source, Target, UnixMillis};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number; the first one is 1.
    pub seq: u64,
    /// When it was written, by the clock of this node.
    pub at: UnixMillis,
    /// The node whose file this is.
    pub node: NodeName,
    /// SHA-256 of the line before it, without its end; of the first one, zeros.
    pub prev: Hash,
    /// What has happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What has happened. Attempts are numbered as in the operation's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// The daemon has opened the file.
    Opened {
        /// Its version.
        version: String,
    },
    /// The file before this one; the chain goes on.
    Continued {
        /// Its name.
        file: String,
    },
    /// The end of the file was a line that had not been written to its end. It was cut off.
    Truncated {
        /// Its bytes.
        bytes: u64,
        /// What could be read of them.
        text: String,
    },
    /// The chain was broken when the file was opened.
    ChainBroken {
        /// Where, and how.
        detail: String,
    },
    /// An operator has asked this node for something over HTTP.
    Operator {
        /// `run`, `confirm`, `cancel`, `override`, `release`, `inhibit` or `uninhibit`.
        command: String,
        /// Of what: a target, an operation.
        subject: String,
        /// Who said that he was.
        who: String,
        /// Why.
        reason: String,
        /// What he was told: `taken`, or why not.
        answer: String,
    },
    /// This node was asked, and the operation is stored.
    Requested {
        /// Which.
        op: OpId,
        /// What is fenced.
        target: Target,
        /// How.
        action: Action,
        /// By what it was set off.
        source: Source,
        /// By whom.
        who: String,
        /// Why.
        reason: String,
    },
    /// This node was asked, and an operation that was there serves it.
    Joined {
        /// Which.
        op: OpId,
        /// By what it was set off.
        source: Source,
        /// By whom.
        who: String,
        /// Why.
        reason: String,
    },
    /// A gate keeps an operation that this node drives.
    Held {
        /// Which.
        op: OpId,
        /// The gate, and why.
        reason: String,
    },
    /// Gates are passed because somebody says so.
    Overridden {
        /// The operation.
        op: OpId,
        /// Who, and why.
        by: String,
    },
    /// This node, the driver, has begun with the steps.
    Activated {
        /// The operation.
        op: OpId,
        /// The epoch of the node for which it was planned.
        epoch: u64,
    },
    /// This node, the driver, has handed an attempt to a peer.
    Delegated {
        /// The operation.
        op: OpId,
        /// Which attempt.
        attempt: usize,
        /// The delegate.
        peer: NodeName,
        /// Whether it had verified that it reaches the devices.
        verified: bool,
        /// `<action> through <device>`, one for each step.
        steps: Vec<String>,
    },
    /// This node, the delegate, may be running an agent.
    Running {
        /// The operation.
        op: OpId,
        /// Which attempt.
        attempt: usize,
        /// This node's session, which holds the lock.
        session: String,
    },
    /// An attempt of which this node is delegate or driver is over.
    AttemptEnded {
        /// The operation.
        op: OpId,
        /// Which attempt.
        attempt: usize,
        /// The delegate.
        peer: NodeName,
        /// One for each step.
        runs: Vec<Ended>,
    },
    /// An operation is over; every node records it.
    Ended {
        /// Which.
        op: OpId,
        /// What was fenced.
        target: Target,
        /// How.
        action: Action,
        /// What came of it.
        outcome: Outcome,
        /// Why.
        detail: String,
        /// Who took the decisions.
        driver: NodeName,
        /// By what it was set off.
        source: Source,
        /// By whom.
        who: String,
        /// Why it was asked for.
        reason: String,
        /// Who and why, if gates were passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overridden: Option<String>,
    },
    /// A node is fenced, quarantined, or brought back; every node records it.
    Node {
        /// Which; `node` is whose file this is.
        name: NodeName,
        /// Its epoch.
        epoch: u64,
        /// The operation by which it is fenced.
        fenced: Option<OpId>,
        /// Why only an operator brings it back.
        quarantined: Option<String>,
    },
    /// Fencing is inhibited; every node records it.
    Inhibited {
        /// Of what; `*` is all.
        target: String,
        /// Until when.
        until: UnixMillis,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// An inhibit was ended, or its key removed; every node records it.
    Uninhibited {
        /// Of what; `*` is all.
        target: String,
    },
}
