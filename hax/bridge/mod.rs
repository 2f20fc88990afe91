//! The bridge proper: what is done with every request of Motr and every watch of Consul.

pub mod update;
