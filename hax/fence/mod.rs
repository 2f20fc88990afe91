//! Fencing: what is declared failed cannot write (`rfc/12-fencing.md`).
//!
//! ```text
//!   triggers, request files, haxctl ──▶ coordinator ──▶ protocol (pure)
//!                                           │   ▲
//!                                  executor ▼   │ Consul: fence/
//!                              agents, files, processes
//! ```

mod about;
pub mod audit;
pub mod coordinator;
pub mod deaths;
pub mod executor;
pub mod files;
pub mod gate;
mod handle;
pub mod lint;
pub mod local;
pub mod model;
pub mod plan;
pub mod protocol;
pub mod readmit;
pub mod reports;
#[cfg(test)]
pub(crate) mod sample;
pub mod servers;
pub mod trigger;
pub mod verdicts;
mod view;
pub mod watchdog;

pub use about::{About, DeviceAbout};
pub use handle::{
    Ask, By, COMMANDS_MAX, Command, FenceHandle, PlanReport, PlannedStep, Refused, Taken,
};
pub use view::{FenceView, Peer, Stored};
