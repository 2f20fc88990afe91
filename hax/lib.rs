//! hax, the HA bridge between Motr and Consul.
//!
//! One folder per capability; dependencies point one way: `http` and `ctl` use
//! `bridge`, which uses `dispatch`, `cluster` and `death`, which use the `halink` and
//! `consul-client` crates. `sim` stands apart: it is the other end of an ha_link; and so does
//! `bench`, which measures the programs from outside.

pub mod bench;
pub mod bridge;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod consul;
pub mod ctl;
pub mod daemon;
pub mod death;
pub mod dispatch;
pub mod fence;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod plugin;
pub mod profile;
pub mod sim;
pub mod tasks;
pub mod traces;
pub mod version;
