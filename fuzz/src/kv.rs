//! Keys and values of 4/KV, service IDs and fids.

use std::sync::Arc;

use halink::{Fid, FidType};
use hax::cluster::process::{self, StoredStatus};
use hax::cluster::{ConfTree, Failing, ProcessTable, Snapshot, process_of_service_id, service_fid};

/// Takes lines of `key<TAB>value` for pairs of KV and reads the cluster from them; every key and
/// value is read as a fid, a service ID and a status too.
pub fn kv(data: &[u8]) {
    let pairs: Vec<(String, &[u8])> = data.split(|byte| *byte == b'\n').map(pair).collect();
    for (key, value) in &pairs {
        single(key, value);
    }
    let values = || pairs.iter().map(|(key, value)| (key.as_str(), *value));
    let tree = ConfTree::parse(values());
    assert_eq!(
        tree,
        ConfTree::parse(values()),
        "the same keys, another tree"
    );
    let numbered = values()
        .zip(1..)
        .map(|((key, value), index)| (key, value, index));
    let snapshot = Snapshot {
        tree: Arc::new(tree),
        processes: Arc::new(ProcessTable::parse(numbered)),
        failing: Arc::new(Failing::default()),
    };
    for (process, _) in snapshot.processes.iter() {
        if process.fid_type() == Some(FidType::Process) {
            assert!(
                snapshot.state_of(process).is_some(),
                "{process} has a status"
            );
        }
    }
    for (key, _) in &pairs {
        for object in key.split('/').filter_map(|part| part.parse().ok()) {
            snapshot.state_of(object);
            for service in snapshot.tree.services_of(object) {
                assert!(snapshot.tree.process_of(*service).is_some());
            }
        }
    }
}

fn pair(line: &[u8]) -> (String, &[u8]) {
    let at = line.iter().position(|byte| *byte == b'\t');
    let (key, value) = line.split_at(at.unwrap_or(line.len()));
    let value = value.split_first().map_or(value, |(_, value)| value);
    (String::from_utf8_lossy(key).into_owned(), value)
}

fn single(key: &str, value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    for text in [key, &text] {
        if let Ok(fid) = text.parse::<Fid>() {
            assert_eq!(fid.to_string().parse(), Ok(fid), "{text:?}");
        }
        if let Some(process) = process_of_service_id(text) {
            assert_eq!(process.fid_type(), Some(FidType::Process), "{text:?}");
        }
    }
    if let Some(service) = service_fid(value) {
        assert_eq!(service.fid_type(), Some(FidType::Service), "{text:?}");
    }
    if let Ok(status) = serde_json::from_slice::<StoredStatus>(value) {
        let written = status.to_json();
        assert_eq!(
            serde_json::from_str::<StoredStatus>(&written).ok(),
            Some(status)
        );
        let key = process::key(Fid::typed(FidType::Process, 1, 1));
        let table = ProcessTable::parse([(key.as_str(), written.as_bytes(), 1)]);
        assert_eq!(table.iter().count(), 1, "{written}");
    }
}
