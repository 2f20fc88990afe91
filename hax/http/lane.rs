//! One watch post at a time: 5/HAX, "The new HTTP request will not be handled until the
//! current HTTP request has been processed."
//!
//! The bridge's own lane does not replace it: that one orders broadcasts alone, and before a post
//! comes to it, its body is parsed and, in profile `hare`, Consul is asked and written.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::reply::Refusal;

/// The queue of watch posts; first come, first served.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// One permit; tokio's semaphore serves in order of arrival.
    turn: Arc<Semaphore>,
    /// Those that wait, and the one that is handled.
    places: Arc<Semaphore>,
}

/// The right to be handled now; ends when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Lane {
    pub(super) fn new(waiting: usize) -> Self {
        let places = waiting.saturating_add(1).min(Semaphore::MAX_PERMITS);
        Self {
            turn: Arc::new(Semaphore::new(1)),
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// Waits for the turn; refuses at once if too many wait already.
    pub(super) async fn enter(&self) -> Result<Turn, Refusal> {
        const FULL: Refusal = Refusal::Busy("too many watch posts wait; post this one again");
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| FULL)?;
        // Never closed, so this fails never.
        let turn = Arc::clone(&self.turn)
            .acquire_owned()
            .await
            .map_err(|_| FULL)?;
        Ok(Turn {
            _turn: turn,
            _place: place,
        })
    }
}
