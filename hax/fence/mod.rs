//! Fencing: what is declared failed cannot write (`rfc/12-fencing.md`).
//!
//! ```text
//!   triggers, request files, haxctl ──▶ coordinator ──▶ protocol (pure)
//!                                           │   ▲
//!                                  executor ▼   │ Consul: fence/
//!                              agents, files, processes
//! ```

pub mod executor;
mod handle;
pub mod local;
pub mod model;
pub mod verdicts;
mod view;

pub use handle::{
    Ask, By, COMMANDS_MAX, Command, FenceHandle, PlanReport, PlannedStep, Refused, Taken,
};
pub use view::{FenceView, Peer, Stored};
