//! The start of an interface, given up.

use crate::id::RequestId;
use crate::sync::{Mutex, lock};

/// Lets a start be given up.
///
/// `start` returns only when our own entrypoint request has been answered with rc 0, and nothing
/// else ends it. If the user wants to stop before he could answer (Consul is down), his requests
/// must be answered without him.
#[derive(Debug, Default)]
pub(crate) struct StartGate(Mutex<Gate>);

#[derive(Debug, Default)]
struct Gate {
    given_up: bool,
    open: Option<RequestId>,
}

impl StartGate {
    /// Our own request has come. Returns whether it must be answered at once, without the user.
    pub(crate) fn requested(&self, req_id: RequestId) -> bool {
        let mut gate = lock(&self.0);
        if !gate.given_up {
            gate.open = Some(req_id);
        }
        gate.given_up
    }

    /// The user has answered a request; it may be ours.
    pub(crate) fn answered(&self, req_id: RequestId) {
        let mut gate = lock(&self.0);
        if gate.open == Some(req_id) {
            gate.open = None;
        }
    }

    /// From here on the user is not asked any more.
    pub(crate) fn give_up(&self) {
        lock(&self.0).given_up = true;
    }

    /// The request that the user was asked before it was given up, to be answered without him.
    pub(crate) fn take_given_up(&self) -> Option<RequestId> {
        let mut gate = lock(&self.0);
        if gate.given_up {
            gate.open.take()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_users_until_the_start_is_given_up() {
        let (first, second) = (RequestId { hi: 0, lo: 1 }, RequestId { hi: 0, lo: 2 });
        let gate = StartGate::default();
        assert!(!gate.requested(first));
        gate.answered(first);
        assert!(!gate.requested(second));
        gate.answered(first);
        assert_eq!(gate.take_given_up(), None);
        gate.give_up();
        assert_eq!(gate.take_given_up(), Some(second));
        assert_eq!(gate.take_given_up(), None);
        assert!(gate.requested(first));
        assert_eq!(gate.take_given_up(), None);
    }
}
