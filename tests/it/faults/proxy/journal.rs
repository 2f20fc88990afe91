//! What Consul has committed, in its own order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::message::Message;

/// One committed transaction.
#[derive(Debug, Clone)]
pub(in crate::faults) struct Commit {
    /// When it was passed on to Consul, by [`Journal::tick`].
    pub(in crate::faults) forwarded: u64,
    /// Keys and values written, in the order of the transaction.
    pub(in crate::faults) writes: Vec<(String, String)>,
}

/// Every transaction that Consul has committed through a proxy. Consul keeps no history, so this
/// is the only place where values that were overwritten can be seen.
#[derive(Debug, Default)]
pub(in crate::faults) struct Journal {
    clock: AtomicU64,
    /// By index and by when they were passed on: a write that changes nothing is answered with the
    /// index of the one before.
    commits: Mutex<BTreeMap<(u64, u64), Commit>>,
}

impl Journal {
    /// A moment: later ones are greater.
    pub(in crate::faults) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Commits so far, in the order of Consul's index.
    pub(in crate::faults) fn commits(&self) -> Vec<Commit> {
        self.commits.lock().unwrap().values().cloned().collect()
    }

    /// Looks at an answer to a request; transactions that succeeded are kept.
    pub(super) fn note(&self, request: &Message, answer: &Message, forwarded: u64) {
        if answer.code() != 200 {
            return;
        }
        let Some(writes) = writes(request).filter(|writes| !writes.is_empty()) else {
            return;
        };
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let results = answer["Results"].as_array().unwrap().iter();
        let indexes = results.filter_map(|result| result["KV"]["ModifyIndex"].as_u64());
        let index = indexes.max().expect("a write is answered with its index");
        let commit = Commit { forwarded, writes };
        let mut commits = self.commits.lock().unwrap();
        commits.insert((index, forwarded), commit);
    }
}

/// The keys and values that a transaction writes; none: it is another request.
pub(super) fn writes(request: &Message) -> Option<Vec<(String, String)>> {
    if !request.first_line().starts_with("PUT /v1/txn") {
        return None;
    }
    let operations: Value = serde_json::from_slice(&request.body).unwrap();
    let operations = operations.as_array().unwrap().iter();
    Some(operations.filter_map(write).collect())
}

/// The key and the value that an operation writes.
fn write(operation: &Value) -> Option<(String, String)> {
    let kv = &operation["KV"];
    let verb = kv["Verb"].as_str()?;
    if !matches!(verb, "set" | "cas") {
        return None;
    }
    let value = STANDARD.decode(kv["Value"].as_str()?).unwrap();
    let value = String::from_utf8(value).unwrap();
    Some((kv["Key"].as_str()?.to_owned(), value))
}
