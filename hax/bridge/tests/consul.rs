//! A model of Consul's KV store: indexes, check-and-set, transactions; and an agent between that
//! loses, delays and refuses.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use consul_client::{Error, Index, KvPair, TXN_MAX_OPS, TxnAborted, TxnError, TxnOp};
use halink::Fid;

use super::super::{EntrypointError, Facts, States, Store};
use super::OWN;
use crate::cluster::{ProcessTable, Snapshot, StoredStatus, process};

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// There is no connection.
    Refused,
    /// It is carried out and the answer is lost.
    AnswerLost,
    /// It is not carried out, and nobody says so.
    Hangs,
    /// It is given up, and carried out after so many more calls.
    Late(usize),
    /// It is carried out after so many milliseconds.
    Slow(u64),
    /// HTTP status 500; nothing was done.
    Broken,
    /// It is refused for good; nothing was done.
    Denied,
}

/// What a transaction wrote.
pub(super) type Written = Vec<(String, Vec<u8>)>;

#[derive(Debug, Default)]
struct Inner {
    index: u64,
    pairs: BTreeMap<String, (Vec<u8>, u64)>,
    faults: VecDeque<Fault>,
    late: Vec<(usize, Vec<TxnOp>)>,
    refused: HashSet<Fid>,
    written: Vec<Written>,
    index_reads: usize,
}

/// The model.
#[derive(Debug, Clone, Default)]
pub(super) struct Consul(Arc<Mutex<Inner>>);

impl Consul {
    /// One that deals these faults out, one to each call, and refuses statuses of these processes.
    pub(super) fn new(faults: impl IntoIterator<Item = Fault>, refused: HashSet<Fid>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            faults: faults.into_iter().collect(),
            refused,
            ..Inner::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// What every transaction wrote, in the order in which they were committed.
    pub(super) fn written(&self) -> Vec<Written> {
        self.lock().written.clone()
    }

    /// How often indexes were read.
    pub(super) fn index_reads(&self) -> usize {
        self.lock().index_reads
    }

    pub(super) fn allow_all(&self) {
        self.lock().refused.clear();
    }

    /// Whether this value is or was in KV.
    pub(super) fn has_had(&self, key: &str, value: &str) -> bool {
        let of = |(k, v): &(String, Vec<u8>)| k == key && v == value.as_bytes();
        self.lock().written.iter().flatten().any(of)
    }

    /// Runs a call as the next fault has it; `late` notes one that is to be carried out later.
    async fn call<T>(
        &self,
        call: impl FnOnce(&mut Inner) -> Result<T, Error>,
        late: impl FnOnce(&mut Inner, usize),
    ) -> Result<T, Error> {
        // Whoever waits in between sees the state before.
        tokio::task::yield_now().await;
        let fault = {
            let mut inner = self.lock();
            inner.carry_out_late();
            inner.faults.pop_front().unwrap_or(Fault::None)
        };
        match fault {
            Fault::None => call(&mut self.lock()),
            Fault::AnswerLost => {
                let _ = call(&mut self.lock());
                Err(timeout())
            }
            Fault::Slow(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                call(&mut self.lock())
            }
            Fault::Hangs => std::future::pending().await,
            Fault::Refused => Err(timeout()),
            Fault::Late(calls) => {
                late(&mut self.lock(), calls);
                Err(timeout())
            }
            Fault::Denied => Err(Error::Permission {
                path: "/".to_owned(),
                body: String::new(),
            }),
            Fault::Broken => Err(Error::Status {
                path: "/".to_owned(),
                status: 500,
                body: String::new(),
            }),
        }
    }
}

fn timeout() -> Error {
    Error::Timeout {
        path: "/".to_owned(),
        limit: Duration::from_secs(1),
    }
}

impl Inner {
    fn carry_out_late(&mut self) {
        let late = std::mem::take(&mut self.late);
        for (calls, ops) in late {
            match calls.checked_sub(1) {
                Some(calls) => self.late.push((calls, ops)),
                None => _ = self.commit(&ops),
            }
        }
    }

    fn commit(&mut self, ops: &[TxnOp]) -> Result<Vec<KvPair>, Error> {
        assert!(ops.len() <= TXN_MAX_OPS, "{} operations", ops.len());
        let mut errors = Vec::new();
        let index = self.index + 1;
        // Each operation sees what those before it have written.
        let mut pairs = self.pairs.clone();
        let mut written = Written::new();
        for (op_index, op) in ops.iter().enumerate() {
            let (TxnOp::Set { key, value, .. } | TxnOp::Cas { key, value, .. }) = op else {
                panic!("no other operation is used: {op:?}");
            };
            if process::of_key(key).is_some_and(|process| self.refused.contains(&process)) {
                return Err(Error::Permission {
                    path: "/v1/txn".to_owned(),
                    body: String::new(),
                });
            }
            if let TxnOp::Cas { index, .. } = op
                && pairs.get(key).map_or(0, |(_, index)| *index) != index.0
            {
                let what = "index is stale".to_owned();
                errors.push(TxnError { op_index, what });
                continue;
            }
            pairs.insert(key.clone(), (value.clone(), index));
            written.push((key.clone(), value.clone()));
        }
        if !errors.is_empty() {
            return Err(TxnAborted { errors }.into());
        }
        self.index = index;
        self.pairs = pairs;
        let pairs = written.iter().map(|(key, _)| KvPair {
            key: key.clone(),
            value: Vec::new(),
            flags: 0,
            session: None,
            lock_index: 0,
            create_index: Index(0),
            modify_index: Index(self.index),
        });
        let pairs = pairs.collect();
        self.written.push(written);
        Ok(pairs)
    }

    fn snapshot(&self) -> Snapshot {
        let pairs = self.pairs.iter();
        let entries = pairs.map(|(key, (value, index))| (key.as_str(), value.as_slice(), *index));
        Snapshot {
            processes: Arc::new(ProcessTable::parse(entries)),
            ..Snapshot::default()
        }
    }
}

impl Store for Consul {
    async fn commit(&self, ops: &[TxnOp]) -> Result<Vec<KvPair>, Error> {
        let late = |inner: &mut Inner, calls| inner.late.push((calls, ops.to_vec()));
        self.call(|inner| inner.commit(ops), late).await
    }

    async fn indexes(&self, processes: &[Fid]) -> Result<HashMap<Fid, Index>, Error> {
        let read = |inner: &mut Inner| {
            inner.index_reads += 1;
            let index = |process: &Fid| {
                let pair = inner.pairs.get(&process::key(*process));
                (*process, Index(pair.map_or(0, |(_, index)| *index)))
            };
            Ok(processes.iter().map(index).collect())
        };
        self.call(read, |_, _| {}).await
    }

    async fn fresh(&self) -> Result<States, Error> {
        let read = |inner: &mut Inner| Ok(States::FiveHax(inner.snapshot()));
        self.call(read, |_, _| {}).await
    }

    fn last_known(&self) -> States {
        // It is always behind.
        States::FiveHax(Snapshot::default())
    }

    fn last_status(&self, process: Fid) -> Option<StoredStatus> {
        self.lock().snapshot().processes.get(process)
    }

    async fn facts(&self) -> Result<Facts, EntrypointError> {
        let facts = |_: &mut Inner| Ok(Facts::of_one("n", OWN));
        Ok(self.call(facts, |_, _| {}).await?)
    }
}
