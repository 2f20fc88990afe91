//! Fencing, with real fence agents, a real Consul, and clusters of both.

mod agents;
mod bridge;
mod files;
mod guard;
mod installed;
mod ipmi;
mod pacemaker;
mod people;
mod powerman;
mod rebirth;
mod responder;
mod runs;
mod trio;
mod watchdog;
mod wrapped;
