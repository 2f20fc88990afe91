//! Fencing, with real fence agents and clusters.

mod agents;
mod bridge;
mod guard;
mod installed;
mod ipmi;
mod powerman;
mod runs;
mod trio;
mod watchdog;
mod wrapped;
