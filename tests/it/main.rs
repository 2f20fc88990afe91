//! The `hax` program end to end: a real Consul agent on one side, Motr processes played by
//! `hax::sim` on the other. Every test has an agent, a bridge and a directory of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod entrypoint;
mod events;
mod faults;
mod fatal;
mod harness;
mod leader;
mod links;
mod messages;
mod nvec;
mod smoke;
