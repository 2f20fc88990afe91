//! Processes against a bridge that the tests play.

mod bridge;
mod links;
mod order;
mod scripts;
