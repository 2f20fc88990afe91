//! Fencing, with real fence agents, a real Consul, and clusters of both.

mod agents;
mod guard;
mod installed;
mod ipmi;
mod people;
mod powerman;
mod runs;
mod trio;
mod wrapped;
