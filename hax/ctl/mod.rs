//! `haxctl`, the control tool: loading KV pairs, making what a cluster starts from, and working on a
//! running bridge.

pub mod args;
pub mod bootstrap;
pub mod bridge;
pub mod cluster;
pub mod consul;
mod dead_letters;
pub mod entry;
pub mod failure;
pub mod fence;
mod input;
pub mod kv_file;
pub mod load;
pub mod output;
mod run;

pub use run::main;
