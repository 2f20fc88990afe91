//! Loading KV pairs without overwriting what is there.
//!
//! First everything is read and compared, then the pairs that are missing are written in
//! transactions. Each write carries the index that was read (none, for a missing key),
//! so that a key somebody else has written meanwhile makes its transaction fail instead
//! of being overwritten. Transactions are atomic one by one, a load of several is not:
//! one that was interrupted is finished by running it again.

use std::collections::{BTreeMap, BTreeSet};

use consul_client::{Client, Error, Index, KvPair, TXN_MAX_BYTES, TXN_MAX_OPS, TxnOp};

use super::consul::{failure, patiently};
use super::entry::Entry;
use super::failure::Failure;

/// Most times one batch is tried while other writers get in between.
const ROUNDS_MAX: usize = 2 * TXN_MAX_OPS;
/// Characters of a value that are shown in a conflict.
const SHOWN: usize = 80;

/// How pairs to be loaded compare with what is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Pairs whose keys do not exist.
    pub missing: Vec<Entry>,
    /// Pairs whose values may stay.
    pub same: usize,
    /// Pairs whose values differ.
    pub different: Vec<Difference>,
}

/// A key that has another value.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// What was to be loaded.
    pub entry: Entry,
    /// What is there.
    pub existing: String,
    index: Index,
}

impl Difference {
    /// The difference in one line.
    pub fn describe(&self) -> String {
        let Entry { key, value, .. } = &self.entry;
        format!("{key} is {}, not {}", shown(&self.existing), shown(value))
    }
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Keys that are new.
    pub created: usize,
    /// Keys whose values were replaced.
    pub replaced: usize,
    /// Keys left alone, their values being right already.
    pub same: usize,
}

/// Compares pairs, each key of which occurs once, with what Consul has.
///
/// # Errors
/// [`Failure::Unavailable`], [`Failure::Other`] if Consul cannot be read.
pub async fn compare(client: &Client, entries: Vec<Entry>) -> Result<Comparison, Failure> {
    let mut there = existing(client, &entries)
        .await
        .map_err(|error| failure(&error))?;
    let mut comparison = Comparison::default();
    for entry in entries {
        match there.remove(&entry.key) {
            None => comparison.missing.push(entry),
            Some(pair) if entry.accepts(&pair.value) => comparison.same += 1,
            Some(pair) => comparison.different.push(difference(entry, &pair)),
        }
    }
    Ok(comparison)
}

fn difference(entry: Entry, pair: &KvPair) -> Difference {
    let existing = String::from_utf8_lossy(&pair.value).into_owned();
    Difference {
        entry,
        existing,
        index: pair.modify_index,
    }
}

/// Reads whole directories, which takes a request where single keys would take thousands.
async fn existing(client: &Client, entries: &[Entry]) -> Result<BTreeMap<String, KvPair>, Error> {
    let mut there = BTreeMap::new();
    let directory = |entry: &Entry| entry.key.split_once('/').map(|(top, _)| format!("{top}/"));
    let directories: BTreeSet<String> = entries.iter().filter_map(directory).collect();
    for directory in directories {
        let pairs = patiently(|| async { client.kv().list(&directory).await })
            .await?
            .value;
        there.extend(pairs.into_iter().map(|pair| (pair.key.clone(), pair)));
    }
    for entry in entries.iter().filter(|entry| !entry.key.contains('/')) {
        if let Some(pair) = patiently(|| async { client.kv().get(&entry.key).await })
            .await?
            .value
        {
            there.insert(pair.key.clone(), pair);
        }
    }
    Ok(there)
}

/// Writes what is missing and, with `force`, replaces what is different. `progress` is
/// told how many of how many keys are done.
///
/// # Errors
/// [`Failure::Conflict`] if something differs and `force` is not given; nothing has been
/// written then, unless the difference came about during the load.
/// [`Failure::Unavailable`], [`Failure::Other`] if Consul refuses; what was written stays.
pub async fn apply(
    client: &Client,
    comparison: Comparison,
    force: bool,
    mut progress: impl FnMut(usize, usize),
) -> Result<Loaded, Failure> {
    let Comparison {
        missing,
        same,
        different,
    } = comparison;
    if !force && !different.is_empty() {
        return Err(Failure::Conflict(
            different.iter().map(Difference::describe).collect(),
        ));
    }
    let created = missing.into_iter().map(|entry| Write {
        entry,
        index: Index(0),
    });
    let replaced = different.into_iter().map(|it| Write {
        entry: it.entry,
        index: it.index,
    });
    let writes: Vec<Write> = created.chain(replaced).collect();
    let total = writes.len();
    let mut loaded = Loaded {
        same,
        ..Loaded::default()
    };
    for batch in batches(writes) {
        write(client, batch, force, &mut loaded).await?;
        progress(
            loaded.created + loaded.replaced + (loaded.same - same),
            total,
        );
    }
    Ok(loaded)
}

/// A pair to be written if its key still has the index; zero: if it does not exist.
struct Write {
    entry: Entry,
    index: Index,
}

impl Write {
    fn op(&self) -> TxnOp {
        TxnOp::cas(
            self.entry.key.as_str(),
            self.entry.value.as_str(),
            self.index,
        )
    }
}

/// Cuts writes into transactions. A value too large for one comes alone.
fn batches(writes: Vec<Write>) -> Vec<Vec<Write>> {
    let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), LIST);
    for write in writes {
        let size = write.op().encoded_len();
        if !batch.is_empty() && (batch.len() == TXN_MAX_OPS || bytes + size > TXN_MAX_BYTES) {
            batches.push(std::mem::take(&mut batch));
            bytes = LIST;
        }
        bytes += size;
        batch.push(write);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// Bytes of a list of operations beside the operations.
const LIST: usize = 2;

/// Writes one batch. Where others got in between, what they wrote is looked at again.
async fn write(
    client: &Client,
    mut batch: Vec<Write>,
    force: bool,
    loaded: &mut Loaded,
) -> Result<(), Failure> {
    for _ in 0..ROUNDS_MAX {
        let suspects = match commit(client, &batch)
            .await
            .map_err(|error| failure(&error))?
        {
            Outcome::Written => {
                let created = batch.iter().filter(|write| write.index == Index(0)).count();
                loaded.created += created;
                loaded.replaced += batch.len() - created;
                return Ok(());
            }
            Outcome::Overtaken(suspects) => suspects,
        };
        let (mut again, mut conflicts) = (Vec::new(), Vec::new());
        for (n, write) in batch.into_iter().enumerate() {
            if !suspects.contains(&n) {
                again.push(write);
                continue;
            }
            let key = &write.entry.key;
            let pair = patiently(|| async { client.kv().get(key).await }).await;
            match pair.map_err(|error| failure(&error))?.value {
                None => again.push(Write {
                    index: Index(0),
                    ..write
                }),
                Some(pair) if write.entry.accepts(&pair.value) => loaded.same += 1,
                Some(pair) if force => again.push(Write {
                    index: pair.modify_index,
                    ..write
                }),
                Some(pair) => conflicts.push(difference(write.entry, &pair).describe()),
            }
        }
        if !conflicts.is_empty() {
            return Err(Failure::Conflict(conflicts));
        }
        if again.is_empty() {
            return Ok(());
        }
        batch = again;
    }
    let keys = batch
        .iter()
        .map(|write| format!("{} keeps changing", write.entry.key));
    Err(Failure::Conflict(keys.collect()))
}

enum Outcome {
    Written,
    /// Nothing was written; these places of the batch have another index by now.
    Overtaken(Vec<usize>),
}

/// An attempt that was not answered may have been applied. Repeating it is safe: its own
/// writes then look like those of someone else who wrote the same.
async fn commit(client: &Client, batch: &[Write]) -> Result<Outcome, Error> {
    let ops: Vec<TxnOp> = batch.iter().map(Write::op).collect();
    if let ([write], [op]) = (batch, &ops[..])
        && op.encoded_len() + LIST > TXN_MAX_BYTES
    {
        let Entry { key, value, .. } = &write.entry;
        let put = || async { client.kv().cas(key, value.as_str(), write.index).await };
        let written = patiently(put).await?;
        return Ok(if written {
            Outcome::Written
        } else {
            Outcome::Overtaken(vec![0])
        });
    }
    match patiently(|| async { client.txn().commit(&ops).await }).await {
        Ok(_) => Ok(Outcome::Written),
        Err(Error::Aborted(aborted)) => {
            let suspects = (0..batch.len()).filter(|n| aborted.failed(*n)).collect();
            Ok(Outcome::Overtaken(suspects))
        }
        Err(error) => Err(error),
    }
}

fn shown(value: &str) -> String {
    let mut text: String = value.chars().take(SHOWN).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::entry::Policy;

    fn write(bytes: usize) -> Write {
        let entry = Entry {
            key: "k".to_owned(),
            value: "v".repeat(bytes),
            policy: Policy::Exact,
        };
        Write {
            entry,
            index: Index(0),
        }
    }

    fn sizes(values: impl IntoIterator<Item = usize>) -> Vec<usize> {
        batches(values.into_iter().map(write).collect())
            .iter()
            .map(Vec::len)
            .collect()
    }

    #[test]
    fn a_batch_is_a_transaction_consul_takes() {
        assert_eq!(sizes([]), [0_usize; 0]);
        assert_eq!(sizes([1; 64]), [64]);
        assert_eq!(sizes([1; 130]), [64, 64, 2]);
        // 100 KiB take 134 KiB in a transaction of at most 512.
        assert_eq!(sizes([100 << 10; 7]), [3, 3, 1]);
        assert_eq!(sizes([1, 512 << 10, 1]), [1, 1, 1]);
        for batch in batches((0..300).map(|n| write(n * 97)).collect()) {
            let bytes: usize = batch.iter().map(|write| write.op().encoded_len()).sum();
            assert!(bytes + LIST <= TXN_MAX_BYTES);
        }
    }

    #[test]
    fn values_are_shown_in_part() {
        assert_eq!(shown("ab\n"), r#""ab\n""#);
        assert_eq!(shown(&"é".repeat(90)).chars().count(), SHOWN + 3);
    }
}
