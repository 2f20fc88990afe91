//! The gates before an operation is activated (`rfc/12-fencing.md`, "Gates"): pure functions of the view
//! and of the time of day.
//!
//! Times of day are compared with those that other peers have written, so clocks that differ, or are set
//! back, must neither open a gate for good nor shut it for good: a time in the future counts as *now* for
//! as long as the window or bound that it is for, and one further ahead counts as a wrong one.

mod admit;
mod expiry;
mod storm;
mod within;

pub use admit::{Verdict, admit, breaks_loop};
pub use storm::{GUARD_MAX, activated};
