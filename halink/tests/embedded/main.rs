//! The interface against the embedded backend, over a Unix socket.
//!
//! A process can have one interface at a time, so the tests take turns: see `fixture::Bridge`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy knows the functions of an integration test that are no tests as production code"
)]

mod broadcast;
mod client;
mod entrypoint;
mod fixture;
mod lifecycle;
mod links;
mod memory;
mod messages;
mod sends;
