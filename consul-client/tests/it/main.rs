//! Tests against a real Consul agent, which is looked for in `HAX_CONSUL` and on `PATH`. What a
//! real agent cannot be made to do is played by a small server of our own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not see that helpers outside #[test] functions are tests, too"
)]

mod agent;
mod catalog;
mod fake;
mod faults;
mod harness;
mod kv;
mod payload;
mod retry;
mod secure;
mod session;
mod txn;
mod watch;
