//! Fencing, with a real Consul.

mod people;
