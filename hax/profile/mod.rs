//! Profile `hare` (`rfc/11-hare-profile.md`): what a process event does to the states under
//! `m0conf/`, what it tells Motr, and how NVEC GET is answered. Nothing here waits or does I/O.
//!
//! A caller, with the status in hand:
//! 1. reads [`Effects::reads`] of [`effects`] made from the view;
//! 2. makes [`effects`] again from the values read, and their [`operations`];
//! 3. commits [`transactions`] one after another: the last one carries the status;
//! 4. sends [`Effects::notes`], and then acknowledges the event.

mod effects;
mod health;
mod nvec;
mod transactions;
mod value;

pub use effects::{Audience, Effects, StateChange, effects, lost};
pub use health::{Checks, Health, is_lost};
pub use nvec::state_of;
pub use transactions::{Found, operations, transactions};
pub use value::{ValueError, with_state};

#[cfg(test)]
pub(crate) mod tests;
