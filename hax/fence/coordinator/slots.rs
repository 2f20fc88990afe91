//! The slots of devices: users at one time, in the whole cluster (`fence/slots/<device>/<n>`).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use consul_client::{Attempt, Error, SessionId};

use super::context::{Context, json};
use crate::fence::model::{DeviceName, OpId, keys};

/// The slots that runs of this daemon have. A session may lock a key again that it holds, so Consul
/// does not keep two runs of one daemon apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(Arc<Mutex<BTreeSet<(DeviceName, u8)>>>);

/// A slot that this daemon alone uses until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    place: (DeviceName, u8),
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.with(|used| used.remove(&self.place));
    }
}

impl Slot {
    /// Its key.
    pub(super) fn key(&self) -> String {
        keys::slot(&self.place.0, self.place.1)
    }
}

impl Slots {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeSet<(DeviceName, u8)>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reserve(&self, device: &DeviceName, number: u8) -> Option<Slot> {
        let place = (device.clone(), number);
        let free = self.with(|used| used.insert(place.clone()));
        free.then(|| Slot {
            slots: self.clone(),
            place,
        })
    }

    /// Takes one free slot of a device, if there is one.
    ///
    /// # Errors
    /// Those of Consul. A slot whose lock may have been taken nevertheless is in `unclear`.
    pub(super) async fn take(
        &self,
        context: &Context,
        device: &DeviceName,
        session: &SessionId,
        op: &OpId,
        unclear: &mut Vec<Slot>,
    ) -> Result<Option<Slot>, Error> {
        let configured = context.config.device(device);
        let count = configured.map_or(1, |device| device.concurrency.max(1));
        for number in 0..count {
            let Some(slot) = self.reserve(device, number) else {
                continue;
            };
            let lock = context.consul.lock();
            let holder = json(&(op, &context.me));
            match lock.acquire(&slot.key(), session, holder).await {
                Ok(Attempt::Acquired) => return Ok(Some(slot)),
                Ok(Attempt::Held { .. } | Attempt::Delayed) => {}
                Err(error) => {
                    unclear.push(slot);
                    return Err(error);
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_reserved_once_until_it_is_dropped() {
        let slots = Slots::default();
        let device: DeviceName = "pdu".parse().unwrap();
        let first = slots.reserve(&device, 0).unwrap();
        assert!(slots.reserve(&device, 0).is_none());
        assert!(slots.reserve(&device, 1).is_some());
        assert_eq!(first.key(), "fence/slots/pdu/0");
        drop(first);
        assert!(slots.reserve(&device, 0).is_some());
    }
}
