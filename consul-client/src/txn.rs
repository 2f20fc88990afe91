//! Transactions on the key/value store (Consul API, "Transactions").

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::client::{Client, Index};
use crate::error::Error;
use crate::kv::{KvPair, check_key, check_prefix, check_size};
use crate::session::SessionId;
use crate::types::{base64_bytes, null_default};

/// Most operations Consul accepts in one transaction.
pub const TXN_MAX_OPS: usize = 64;

/// Largest transaction Consul accepts, in bytes of its JSON form (`txn_max_req_len`). Values
/// count as base64, a third larger than they are; see [`TxnOp::encoded_len`].
pub const TXN_MAX_BYTES: usize = 512 * 1024;

/// Handle to transactions; see [`Client::txn`].
#[derive(Debug, Clone, Copy)]
pub struct Txn<'c> {
    client: &'c Client,
}

/// One operation of a transaction. Keys obey the rules of [`Kv`](crate::Kv).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "Verb",
    rename_all = "kebab-case",
    rename_all_fields = "PascalCase"
)]
pub enum TxnOp {
    /// Write a value.
    Set {
        /// Key to write.
        key: String,
        /// Value to write.
        #[serde(with = "base64_bytes")]
        value: Vec<u8>,
        /// A number to store with the value.
        flags: u64,
    },
    /// Write a value; abort unless the key's `ModifyIndex` is `index` (zero: does not exist).
    Cas {
        /// Key to write.
        key: String,
        /// Value to write.
        #[serde(with = "base64_bytes")]
        value: Vec<u8>,
        /// A number to store with the value.
        flags: u64,
        /// Index the key must have.
        index: Index,
    },
    /// Write a value and lock the key; abort if another session holds it or its lock-delay runs.
    Lock {
        /// Key to lock.
        key: String,
        /// Value to write.
        #[serde(with = "base64_bytes")]
        value: Vec<u8>,
        /// A number to store with the value.
        flags: u64,
        /// Session that gets the lock.
        session: SessionId,
    },
    /// Write a value and give up the lock; abort unless the session holds it.
    Unlock {
        /// Key to unlock.
        key: String,
        /// Value to write.
        #[serde(with = "base64_bytes")]
        value: Vec<u8>,
        /// A number to store with the value.
        flags: u64,
        /// Session that holds the lock.
        session: SessionId,
    },
    /// Read a key; abort if it does not exist.
    Get {
        /// Key to read.
        key: String,
    },
    /// Read all keys with this prefix; none is fine.
    GetTree {
        /// Beginning of the keys.
        #[serde(rename = "Key")]
        prefix: String,
    },
    /// Abort unless the key's `ModifyIndex` is `index`.
    CheckIndex {
        /// Key to check.
        key: String,
        /// Index it must have.
        index: Index,
    },
    /// Abort unless the key is locked by the session.
    CheckSession {
        /// Key to check.
        key: String,
        /// Session that must hold it.
        session: SessionId,
    },
    /// Abort if the key exists.
    CheckNotExists {
        /// Key to check.
        key: String,
    },
    /// Delete a key; a missing one is fine.
    Delete {
        /// Key to delete.
        key: String,
    },
    /// Delete all keys with this prefix, which must not be empty.
    DeleteTree {
        /// Beginning of the keys.
        #[serde(rename = "Key")]
        prefix: String,
    },
    /// Delete a key; abort unless its `ModifyIndex` is `index`.
    DeleteCas {
        /// Key to delete.
        key: String,
        /// Index it must have.
        index: Index,
    },
}

impl TxnOp {
    /// Write a value.
    pub fn set(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Set {
            key: key.into(),
            value: value.into(),
            flags: 0,
        }
    }

    /// Write a value if the key's `ModifyIndex` is `index`.
    pub fn cas(key: impl Into<String>, value: impl Into<Vec<u8>>, index: Index) -> Self {
        Self::Cas {
            key: key.into(),
            value: value.into(),
            flags: 0,
            index,
        }
    }

    /// Write a value and lock the key.
    pub fn lock(key: impl Into<String>, value: impl Into<Vec<u8>>, session: SessionId) -> Self {
        Self::Lock {
            key: key.into(),
            value: value.into(),
            flags: 0,
            session,
        }
    }

    /// Write a value and unlock the key.
    pub fn unlock(key: impl Into<String>, value: impl Into<Vec<u8>>, session: SessionId) -> Self {
        Self::Unlock {
            key: key.into(),
            value: value.into(),
            flags: 0,
            session,
        }
    }

    /// Read a key that must exist.
    pub fn get(key: impl Into<String>) -> Self {
        Self::Get { key: key.into() }
    }

    /// Read all keys with a prefix.
    pub fn get_tree(prefix: impl Into<String>) -> Self {
        Self::GetTree {
            prefix: prefix.into(),
        }
    }

    /// Check a key's `ModifyIndex`.
    pub fn check_index(key: impl Into<String>, index: Index) -> Self {
        Self::CheckIndex {
            key: key.into(),
            index,
        }
    }

    /// Check who holds a key.
    pub fn check_session(key: impl Into<String>, session: SessionId) -> Self {
        Self::CheckSession {
            key: key.into(),
            session,
        }
    }

    /// Check that a key does not exist.
    pub fn check_not_exists(key: impl Into<String>) -> Self {
        Self::CheckNotExists { key: key.into() }
    }

    /// Delete a key.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// Delete all keys with a prefix.
    pub fn delete_tree(prefix: impl Into<String>) -> Self {
        Self::DeleteTree {
            prefix: prefix.into(),
        }
    }

    /// Delete a key whose `ModifyIndex` is `index`.
    pub fn delete_cas(key: impl Into<String>, index: Index) -> Self {
        Self::DeleteCas {
            key: key.into(),
            index,
        }
    }

    /// Bytes the operation takes of [`TXN_MAX_BYTES`], its separator included. A list of
    /// operations takes the sum of its elements plus one.
    pub fn encoded_len(&self) -> usize {
        /// Counts what is written.
        struct Counter(usize);
        impl std::io::Write for Counter {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0 += bytes.len();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut counter = Counter(1);
        match serde_json::to_writer(&mut counter, &Envelope { kv: self }) {
            Ok(()) => counter.0,
            // Strings and numbers always serialize; were it not so, nothing must fit.
            Err(_) => usize::MAX,
        }
    }

    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Set { key, value, .. }
            | Self::Cas { key, value, .. }
            | Self::Lock { key, value, .. }
            | Self::Unlock { key, value, .. } => {
                check_key(key)?;
                check_size(key, value)
            }
            Self::GetTree { prefix } => check_prefix(prefix),
            Self::Get { key }
            | Self::CheckIndex { key, .. }
            | Self::CheckSession { key, .. }
            | Self::CheckNotExists { key }
            | Self::Delete { key }
            | Self::DeleteTree { prefix: key }
            | Self::DeleteCas { key, .. } => check_key(key),
        }
    }
}

/// A transaction that was rolled back; nothing of it took effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TxnAborted {
    /// Why: at least one entry unless Consul gave no reason.
    pub errors: Vec<TxnError>,
}

impl TxnAborted {
    /// Whether the operation at this position is among the reasons.
    pub fn failed(&self, op_index: usize) -> bool {
        self.errors.iter().any(|error| error.op_index == op_index)
    }
}

impl fmt::Display for TxnAborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("transaction aborted")?;
        for (n, error) in self.errors.iter().enumerate() {
            let mark = if n == 0 { ':' } else { ';' };
            write!(f, "{mark} operation {}: {}", error.op_index, error.what)?;
        }
        Ok(())
    }
}

/// Why one operation of a transaction failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TxnError {
    /// Position of the operation, from zero.
    pub op_index: usize,
    /// What Consul says.
    pub what: String,
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "KV")]
    kv: &'a TxnOp,
}

#[derive(Deserialize)]
struct ResultEnvelope {
    #[serde(rename = "KV")]
    kv: KvPair,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TxnReply {
    #[serde(default, deserialize_with = "null_default")]
    results: Vec<ResultEnvelope>,
    #[serde(default, deserialize_with = "null_default")]
    errors: Vec<TxnError>,
}

impl<'c> Txn<'c> {
    pub(crate) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// Applies all operations, or none. Returns the pairs that were read or written, in order;
    /// written ones without their value. Deletions and `CheckNotExists` yield no pair, `GetTree`
    /// any number.
    ///
    /// A transaction of reads and checks only is answered by the leader like a default read.
    ///
    /// # Errors
    /// [`Error::Aborted`] when a condition does not hold. [`Error::TooManyOps`],
    /// [`Error::TooLarge`], [`Error::InvalidKey`] without sending anything.
    pub async fn commit(&self, ops: &[TxnOp]) -> Result<Vec<KvPair>, Error> {
        if ops.len() > TXN_MAX_OPS {
            return Err(Error::TooManyOps {
                count: ops.len(),
                limit: TXN_MAX_OPS,
            });
        }
        ops.iter().try_for_each(TxnOp::check)?;
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        let body: Vec<Envelope<'_>> = ops.iter().map(|kv| Envelope { kv }).collect();
        let request = self.client.put("/v1/txn".into()).json(&body)?;
        let size = request.body_len();
        if size > TXN_MAX_BYTES {
            return Err(Error::TooLarge {
                what: "transaction".into(),
                size,
                limit: TXN_MAX_BYTES,
            });
        }
        let reply = request.send().await?;
        let aborted = reply.status == reqwest::StatusCode::CONFLICT;
        if !aborted && !reply.status.is_success() {
            return Err(reply.error());
        }
        let TxnReply { results, errors } = reply.decode()?;
        // Consul reports a missing permission like a failed condition.
        if let Some(denied) = errors.iter().find(|e| e.what.contains("Permission denied")) {
            return Err(Error::Permission {
                path: reply.path,
                body: denied.what.clone(),
            });
        }
        if aborted || !errors.is_empty() {
            return Err(TxnAborted { errors }.into());
        }
        Ok(results.into_iter().map(|result| result.kv).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_in_consuls_form() {
        let json = |op: &TxnOp| serde_json::to_value(Envelope { kv: op }).unwrap();
        assert_eq!(
            json(&TxnOp::cas("a", "hi", Index(7))),
            serde_json::json!({"KV": {"Verb": "cas", "Key": "a", "Value": "aGk=", "Flags": 0, "Index": 7}})
        );
        assert_eq!(
            json(&TxnOp::delete_tree("a/")),
            serde_json::json!({"KV": {"Verb": "delete-tree", "Key": "a/"}})
        );
        assert_eq!(
            json(&TxnOp::check_not_exists("a")),
            serde_json::json!({"KV": {"Verb": "check-not-exists", "Key": "a"}})
        );
    }

    #[test]
    fn encoded_lengths_add_up() {
        let ops = [
            TxnOp::set("k\"1", vec![0; 100]),
            TxnOp::get("b"),
            TxnOp::delete("c"),
        ];
        let body: Vec<Envelope<'_>> = ops.iter().map(|kv| Envelope { kv }).collect();
        let sum: usize = ops.iter().map(TxnOp::encoded_len).sum();
        assert_eq!(serde_json::to_vec(&body).unwrap().len(), sum + 1);
    }
}
