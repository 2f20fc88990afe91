//! `haxctl`, the control tool.

pub mod bootstrap;
pub mod cluster;
pub mod entry;
pub mod failure;
mod input;
pub mod kv_file;
pub mod output;
