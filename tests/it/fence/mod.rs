//! Fencing, with real fence agents and clusters.

mod agents;
mod files;
mod guard;
mod installed;
mod ipmi;
mod pacemaker;
mod powerman;
mod responder;
mod runs;
mod trio;
mod wrapped;
