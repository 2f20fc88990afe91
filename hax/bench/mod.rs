//! `hax bench`: what the bridge does per second, and how fast, beside what Consul alone does.
//!
//! A real Consul agent, a real `hax run` and a process that plays many Motr processes over the
//! embedded ha_link (6/WIRE) run on loopback, each for itself. Figures that depend on the machine
//! come with the same work done by Consul alone in the same run, before and after each round.

mod agent;
mod args;
mod child;
mod clock;
mod daemon;
mod figures;
mod http;
mod load;
mod loader;
mod measure;
mod patience;
mod run;
mod stats;
mod table;
mod tree;

pub use args::{Args, Group, LoadArgs};
pub use load::run as run_load;
pub use run::run;
