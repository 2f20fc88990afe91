//! The bridge proper: what is done with every request of Motr and every watch of Consul.
//!
//! ```text
//!   events ──▶ router ──▶ dispatcher ──▶ work ──▶ Consul, replies
//!                 │
//!   watches ──────┴─────▶ lane ────────────────▶ broadcasts
//! ```

mod counters;
mod entrypoint;
mod fallen;
mod handle;
mod job;
mod lane;
mod links;
mod notes;
mod outbox;
mod record;
mod router;
mod status;
pub mod update;
mod work;

pub use counters::{Counter, Counters};
pub use entrypoint::EntrypointError;
pub use fallen::Fallen;
pub use handle::{BridgeHandle, Parts};
pub use job::{Job, Task};
pub use lane::{Lane, WatchError, WatchOutcome};
pub use links::{LinkStatus, Links};
pub use notes::Notes;
pub use outbox::Outbox;
pub use record::Record;
pub use router::Router;
pub use status::{Phase, Status};
pub use work::{RetryPolicy, Work};
