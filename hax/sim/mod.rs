//! Processes that are not Motr's: the other end of an ha_link.

pub mod client;
mod conn;
pub mod endpoint;
pub mod link;
pub mod wire;
