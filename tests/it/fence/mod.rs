//! Fencing, with real fence agents, a real Consul, and clusters of both.

mod agents;
pub(crate) mod bridge;
mod crashes;
mod files;
mod guard;
pub(crate) mod installed;
mod ipmi;
mod looks;
mod pacemaker;
mod people;
mod powerman;
mod rebirth;
mod reports;
mod responder;
mod runs;
mod served;
mod trio;
mod watchdog;
mod wrapped;
