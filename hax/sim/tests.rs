//! Processes against a bridge that the tests play.

mod bridge;
mod embedded;
mod links;
mod order;
mod scripts;
