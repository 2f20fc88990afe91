//! The locks of one attempt: that of its target, and a slot of each of its devices.

use std::collections::BTreeSet;

use consul_client::{Attempt, Error, TxnOp};
use tracing::debug;

use super::context::{Context, json};
use super::session::Lease;
use super::slots::{Slot, Slots};
use crate::fence::model::{DeviceName, OpId, Target, keys};

/// Locks that one session holds, or may hold. Who has them must [`release`](Self::release) them: the
/// session lasts as long as the daemon.
pub(super) struct Locks {
    lease: Lease,
    op: OpId,
    target: String,
    locked: bool,
    slots: Vec<Slot>,
    /// Those of which nobody knows whether they were locked.
    unclear: Vec<Slot>,
    missing: BTreeSet<DeviceName>,
}

impl Locks {
    /// None are held yet.
    pub(super) fn new(
        lease: &Lease,
        op: &OpId,
        target: &Target,
        devices: BTreeSet<DeviceName>,
    ) -> Self {
        Self {
            lease: lease.clone(),
            op: op.clone(),
            target: keys::lock(target),
            locked: false,
            slots: Vec::new(),
            unclear: Vec::new(),
            missing: devices,
        }
    }

    /// Tries to get what is missing; true when all is held. Devices are taken in the order of their
    /// names, so that two who need the same ones never wait for each other.
    ///
    /// # Errors
    /// Those of Consul.
    pub(super) async fn take(&mut self, context: &Context, slots: &Slots) -> Result<bool, Error> {
        let session = &self.lease.id;
        if !self.locked {
            let holder = json(&(&self.op, &context.me));
            let lock = context.consul.lock();
            if lock.acquire(&self.target, session, holder).await? != Attempt::Acquired {
                return Ok(false);
            }
            self.locked = true;
        }
        while let Some(device) = self.missing.first().cloned() {
            let taken = slots.take(context, &device, session, &self.op, &mut self.unclear);
            match taken.await? {
                Some(slot) => self.slots.push(slot),
                None => return Ok(false),
            }
            self.missing.remove(&device);
        }
        Ok(true)
    }

    /// That the session still holds the lock of the target.
    pub(super) fn target_check(&self) -> TxnOp {
        TxnOp::check_session(self.target.as_str(), self.lease.id.clone())
    }

    /// That the session still holds all of them.
    pub(super) fn checks(&self) -> Vec<TxnOp> {
        let slots = self.slots.iter();
        let slots = slots.map(|slot| TxnOp::check_session(slot.key(), self.lease.id.clone()));
        std::iter::once(self.target_check()).chain(slots).collect()
    }

    /// Gives all of them up, also those whose answers were lost. What cannot be given up now goes with
    /// the session.
    pub(super) async fn release(self, context: &Context) {
        if self.lease.lost.is_cancelled() {
            return;
        }
        let slots = self.slots.iter().chain(&self.unclear);
        let mut locked: Vec<String> = slots.map(Slot::key).collect();
        locked.push(self.target.clone());
        for key in locked {
            let kv = context.consul.kv();
            match kv.release(&key, Vec::new(), &self.lease.id).await {
                Ok(released) => debug!(key, released, "a lock is given up"),
                Err(error) => debug!(key, %error, "a lock is left to its session"),
            }
        }
    }
}
