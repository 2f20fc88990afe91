//! The executor: one attempt of one action on one target through one device, and an honest result.

mod api;

pub use api::{BootInstant, Listed, LocalProcesses, Power, Run, Traits};
