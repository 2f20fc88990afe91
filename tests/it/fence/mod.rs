//! Fencing, with real fence agents.

mod agents;
mod guard;
mod installed;
mod ipmi;
mod powerman;
mod runs;
mod wrapped;
