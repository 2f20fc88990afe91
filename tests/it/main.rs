//! The programs end to end: a real Consul agent on one side, Motr processes played by `hax::sim`
//! on the other. Every test has an agent, a bridge and a directory of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod bench;
mod broadcast;
mod common;
mod config;
mod ctl;
mod dead_letters;
mod death;
mod entrypoint;
mod events;
mod fatal;
mod faults;
mod fence;
mod frames;
mod fuzz_corpus;
mod harness;
mod http;
mod leader;
mod lifecycle;
mod links;
mod messages;
mod nvec;
mod plugin;
mod profile;
mod real_tree;
mod smoke;
mod view;
mod watches;
