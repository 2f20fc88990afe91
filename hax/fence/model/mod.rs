//! Plain data of fencing: what is stored under `fence/` and told between its parts.

pub mod keys;
mod names;
mod op;
mod outcome_kind;
mod records;

pub use names::{BadName, DEVICE_NAME_MAX, DeviceName, NODE_NAME_MAX, NodeName, OpId, Target};
pub use op::{
    Action, Attempt, AttemptState, Before, EVIDENCE_MAX, End, Ended, JOINED_MAX, Level, Operation,
    Options, Origin, Outcome, Phase, Plan, Refusal, RunResult, Source, Step, UnixMillis,
};
pub use outcome_kind::OutcomeKind;
pub use records::{
    Activation, Fenced, GuardRecord, Inhibit, NodeRecord, PeerRecord, ProcessRecord, Reach,
    ReportsRecord,
};
