//! `haxctl`, the control tool: loading KV pairs, and making what a cluster starts from.

pub mod args;
pub mod bootstrap;
pub mod cluster;
pub mod consul;
pub mod entry;
pub mod failure;
mod input;
pub mod kv_file;
pub mod load;
pub mod output;
mod run;

pub use run::main;
