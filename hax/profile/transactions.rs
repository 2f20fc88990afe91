//! From effects to transactions.

use std::collections::HashMap;

use consul_client::{Index, TXN_MAX_BYTES, TXN_MAX_OPS, TxnOp};
use halink::Fid;

use super::value::state_in;
use super::{Effects, ValueError, with_state};
use crate::cluster::{HareState, Relations};

/// The stored value of an object, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Vec<u8>,
    /// Its `ModifyIndex`.
    pub index: Index,
}

impl Found {
    /// The state in the value.
    pub fn state(&self) -> HareState {
        state_in(&self.value).unwrap_or(HareState::Unknown)
    }
}

/// The operations that store the states of `effects`, each on the value that was found, and the
/// checks of what they rely on. Objects that are not there any more are left out; those whose value
/// is not understood as well, and they are named.
pub fn operations(
    effects: &Effects,
    relations: &Relations,
    found: &HashMap<Fid, Found>,
) -> (Vec<TxnOp>, Vec<(Fid, ValueError)>) {
    let mut refused = Vec::new();
    let mut ops = Vec::new();
    let at = |object: Fid| Some((relations.key(object)?, found.get(&object)?));
    for change in &effects.states {
        let Some((key, Found { value, index })) = at(change.object) else {
            continue;
        };
        match with_state(value, change.object, change.state) {
            Ok(Some(value)) => ops.push(TxnOp::cas(key, value, *index)),
            Ok(None) => {}
            Err(error) => refused.push((change.object, error)),
        }
    }
    let checks = effects.relies_on.iter().filter_map(|object| at(*object));
    ops.extend(checks.map(|(key, found)| TxnOp::check_index(key, found.index)));
    (ops, refused)
}

/// The fewest transactions that carry all operations in this order, with those of the status at the
/// end of the last one: as many of the others with them as fit.
///
/// A status is durable only when everything it says of other objects is. What a crash leaves of the
/// others is what the event says all the same, and is found to be there when it comes again.
pub fn transactions(states: Vec<TxnOp>, status: Vec<TxnOp>) -> Vec<Vec<TxnOp>> {
    let mut all = vec![Vec::new()];
    let mut bytes = 0;
    let last = status.len();
    for (taken, op) in states.into_iter().chain(status).rev().enumerate() {
        let len = op.encoded_len();
        let full = |chunk: &Vec<TxnOp>| {
            !chunk.is_empty() && (chunk.len() >= TXN_MAX_OPS || bytes + len >= TXN_MAX_BYTES)
        };
        // The status is never taken apart.
        if taken >= last && all.last().is_some_and(full) {
            all.push(Vec::new());
            bytes = 0;
        }
        bytes += len;
        if let Some(chunk) = all.last_mut() {
            chunk.push(op);
        }
    }
    for chunk in &mut all {
        chunk.reverse();
    }
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(prefix: &str, count: usize, len: usize) -> Vec<TxnOp> {
        let set = |n| TxnOp::set(format!("{prefix}{n}"), vec![0; len]);
        (0..count).map(set).collect()
    }

    #[test]
    fn the_status_is_the_end_of_the_last_transaction_and_nothing_is_lost() {
        for (states, expected) in [
            (0, 1),
            (1, 1),
            (62, 1),
            (63, 2),
            (126, 2),
            (127, 3),
            (176, 3),
        ] {
            let (drives, status) = (sets("d", states, 10), sets("s", 2, 10));
            let all = transactions(drives.clone(), status.clone());
            assert_eq!(all.len(), expected, "{states}");
            assert!(all.iter().all(|chunk| chunk.len() <= TXN_MAX_OPS));
            assert!(all.last().unwrap().ends_with(&status));
            assert_eq!(all.concat(), [drives, status].concat(), "{states}");
        }
    }

    #[test]
    fn large_values_are_split_by_their_size() {
        let all = transactions(sets("d", 8, 100_000), sets("s", 2, 10));
        for chunk in &all {
            let bytes: usize = chunk.iter().map(TxnOp::encoded_len).sum();
            assert!(bytes < TXN_MAX_BYTES, "{bytes}");
        }
        assert_eq!(all.len(), 3);
        assert_eq!(all.concat().len(), 10);
    }
}
