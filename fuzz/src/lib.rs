//! What the fuzz targets do with their input: each function takes any bytes and panics if
//! something that must hold does not. The programs in `fuzz_targets/` give them to libFuzzer;
//! `tests/it/fuzz_corpus.rs` calls them with every file of `fuzz/corpus/` on each run of the tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a target tells of a defect by panicking, and is compiled into a test as well"
)]

mod config;
mod kv;
mod watch;
mod wire;

pub use config::config;
pub use kv::kv;
pub use watch::watch;
pub use wire::wire;
