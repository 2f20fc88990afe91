//! The bridge proper: what is done with every request of Motr and every watch of Consul.
//!
//! ```text
//!   events ──▶ router ──▶ dispatcher ──▶ work ──▶ Consul, replies
//!                 │
//!   watches ──────┴─────▶ lane ────────────────▶ broadcasts
//! ```

mod alarm;
mod answers;
mod counters;
mod dead_letters;
mod entrypoint;
mod events;
mod exposition;
mod fallen;
mod handle;
mod job;
mod lane;
mod links;
mod notes;
mod outbox;
mod peers;
mod record;
mod replies;
mod reports;
mod retry;
mod router;
mod rulings;
mod state_tree;
mod states;
mod status;
mod store;
#[cfg(test)]
mod tests;
pub mod update;
mod verdicts;
mod work;

pub use alarm::QueueAlarm;
pub use answers::Unknown;
pub use counters::{Counter, Counters, Latencies};
pub use dead_letters::{DeadLetters, LETTERS_MAX, LetterRow};
pub use entrypoint::{EntrypointError, Facts};
pub use fallen::Fallen;
pub use handle::{BridgeHandle, Parts};
pub use job::{Job, Task};
pub use lane::{Lane, LaneParts, WatchError, WatchOutcome};
pub use links::{LinkStatus, Links};
pub use notes::Notes;
pub use outbox::Outbox;
pub use peers::Peers;
pub use record::{Record, Write};
pub use replies::{Motr, Replies};
pub use reports::{Report, ReportId, Reports, SharedReports};
pub use retry::RetryPolicy;
pub use router::Router;
pub use rulings::Rulings;
pub use state_tree::{StateTree, Written};
pub use states::States;
pub use status::{Phase, Status};
pub use store::{ConsulStore, Store};
pub use verdicts::{Confirmed, SharedVerdicts, Verdicts};
pub use work::Work;
