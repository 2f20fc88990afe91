//! Fencing.

mod files;
mod pacemaker;
mod responder;
