//! Locks. `tests/loom.rs` has its own form of this module, whose locks loom sees through.

use std::sync::PoisonError;
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks a mutex whose content is consistent after every statement, so that a panic of another
/// holder is no reason to stop.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
