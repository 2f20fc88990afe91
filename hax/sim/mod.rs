//! Processes that are not Motr's: the other end of an ha_link.
//!
//! `hax sim m0d`, `m0mkfs` and `client` say on the link of the embedded backend
//! (6/WIRE) what a real process says, in its order; scripts make them say other
//! things. [`client`] is the same for programs.

mod args;
pub mod client;
mod conn;
pub mod endpoint;
pub mod link;
mod output;
pub mod process;
mod run;
pub mod script;
pub mod service;
#[cfg(test)]
mod tests;
pub mod wire;

pub use args::{Args, Kind, ProcessArgs};
pub use run::run;
