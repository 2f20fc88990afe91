//! Bodies, read within bounds of size, time and memory.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Limits;
use super::reply::Refusal;

/// How many bodies of the largest size fit into the budget.
const LARGEST_AT_ONCE: usize = 4;
/// Bytes of one unit of the budget.
const UNIT: usize = 1024;

/// Memory that all bodies together may hold.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let units = limits.body.saturating_mul(LARGEST_AT_ONCE).div_ceil(UNIT);
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, units: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        const FULL: Refusal = Refusal::Busy("too many large bodies at once; post this one again");
        let units = u32::try_from(units).map_err(|_| FULL)?;
        Arc::clone(&self.0)
            .try_acquire_many_owned(units)
            .map_err(|_| FULL)
    }
}

/// A whole body, and its share of the budget.
#[derive(Debug)]
pub(super) struct Received {
    bytes: Vec<u8>,
    share: OwnedSemaphorePermit,
}

impl Received {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn push(&mut self, data: &[u8], budget: &Budget) -> Result<(), Refusal> {
        let units = (self.bytes.len() + data.len()).div_ceil(UNIT);
        let more = units.saturating_sub(self.share.num_permits());
        if more > 0 {
            self.share.merge(budget.take(more)?);
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

/// Reads a body to its end. An announced length above the limit is refused unread.
pub(super) async fn read(
    mut body: Body,
    limits: &Limits,
    budget: &Budget,
) -> Result<Received, Refusal> {
    let too_large = Refusal::TooLarge { limit: limits.body };
    if body.size_hint().lower() > limits.body as u64 {
        return Err(too_large);
    }
    let deadline = Instant::now() + limits.body_timeout;
    let mut received = Received {
        bytes: Vec::new(),
        share: budget.take(0)?,
    };
    loop {
        let frame = timeout_at(deadline, body.frame())
            .await
            .map_err(|_| Refusal::Timeout {
                seconds: limits.body_timeout.as_secs(),
            })?;
        let data = match frame {
            None => return Ok(received),
            Some(Err(error)) => return Err(Refusal::BrokenBody(error.to_string())),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        if received.bytes.len() + data.len() > limits.body {
            return Err(too_large);
        }
        received.push(&data, budget)?;
    }
}
