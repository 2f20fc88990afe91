//! All that is stored under `fence/`, as one blocking query has seen it.

use std::collections::BTreeMap;

use consul_client::{Error, Index, KvPair, Listing, PairRef, SessionId};
use halink::Fid;
use serde::de::DeserializeOwned;

use super::model::{
    DeviceName, GuardRecord, Inhibit, NodeName, NodeRecord, OpId, Operation, PeerRecord,
    ProcessRecord, ReportsRecord, Target, keys,
};

/// A record, and the index with which it is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored<T> {
    /// The record.
    pub value: T,
    /// `ModifyIndex` of its key; 0: the key does not exist.
    pub index: Index,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What it has published.
    pub record: PeerRecord,
    /// The session that holds its key; none: it is not alive.
    pub session: Option<SessionId>,
}

/// Everything under `fence/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FenceView {
    /// Operations, ended ones too.
    pub ops: BTreeMap<OpId, Stored<Operation>>,
    /// The operation of each target that has not ended.
    pub active: BTreeMap<Target, Stored<Option<OpId>>>,
    /// Nodes that have been fenced.
    pub nodes: BTreeMap<NodeName, Stored<NodeRecord>>,
    /// Processes that are confirmed.
    pub processes: BTreeMap<Fid, Stored<ProcessRecord>>,
    /// Peers.
    pub peers: BTreeMap<NodeName, Peer>,
    /// What Motr processes report, by their node.
    pub reports: BTreeMap<NodeName, Stored<ReportsRecord>>,
    /// Who holds the lock of a target.
    pub locks: BTreeMap<Target, SessionId>,
    /// How many slots of a device are taken.
    pub slots: BTreeMap<DeviceName, usize>,
    /// What the storm guard counts.
    pub guard: Stored<GuardRecord>,
    /// Inhibits by target; `*` is all.
    pub inhibits: BTreeMap<String, Stored<Inhibit>>,
    /// Keys whose value cannot be read, with the reason.
    pub malformed: BTreeMap<String, String>,
}

impl FenceView {
    /// Reads the pairs below `fence/`.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = &'a KvPair>) -> Self {
        let mut view = Self::default();
        for pair in pairs {
            view.put(&PairRef {
                key: &pair.key,
                value: &pair.value,
                modify_index: pair.modify_index,
                session: pair.session.as_ref().map(SessionId::as_str),
            });
        }
        view
    }

    /// Reads a listing of `fence/`.
    ///
    /// # Errors
    /// [`Error::Decode`]: it is no listing. A pair that cannot be read is [`malformed`](Self::malformed).
    pub fn parse_listing(listing: &Listing) -> Result<Self, Error> {
        let mut view = Self::default();
        listing.for_each(|pair| view.put(&pair))?;
        Ok(view)
    }

    /// The operation of a target that has not ended.
    pub fn active_op(&self, target: &Target) -> Option<&Stored<Operation>> {
        let id = self.active.get(target)?.value.as_ref()?;
        self.ops.get(id)
    }

    fn put(&mut self, pair: &PairRef<'_>) {
        if let Err(why) = self.add(pair) {
            self.malformed.insert(pair.key.to_owned(), why);
        }
    }

    fn add(&mut self, pair: &PairRef<'_>) -> Result<(), String> {
        let Some((kind, name)) = pair
            .key
            .strip_prefix(keys::PREFIX)
            .map(|key| key.split_once('/').unwrap_or((key, "")))
        else {
            return Ok(());
        };
        match kind {
            "ops" => {
                self.ops.insert(named(name)?, stored(pair)?);
            }
            "active" => {
                let target = named(name)?;
                let id = std::str::from_utf8(pair.value).map_err(|error| error.to_string());
                let id = id.and_then(|id| {
                    let id = id.parse::<OpId>();
                    id.map_err(|error| format!("the number of its operation: {error}"))
                });
                let stored = Stored {
                    value: id.as_ref().ok().cloned(),
                    index: pair.modify_index,
                };
                self.active.insert(target, stored);
                id?;
            }
            "nodes" => {
                self.nodes.insert(named(name)?, stored(pair)?);
            }
            "processes" => {
                self.processes.insert(named(name)?, stored(pair)?);
            }
            "peers" => {
                let peer = Peer {
                    record: stored(pair)?.value,
                    session: session(pair)?,
                };
                self.peers.insert(named(name)?, peer);
            }
            "reports" => {
                self.reports.insert(named(name)?, stored(pair)?);
            }
            "lock" => {
                if let Some(session) = session(pair)? {
                    self.locks.insert(named(name)?, session);
                }
            }
            "guard" => {
                // One that cannot be read counts for nothing, and is overwritten by the next.
                self.guard.index = pair.modify_index;
                self.guard = stored(pair)?;
            }
            "inhibit" => {
                self.inhibits.insert(name.to_owned(), stored(pair)?);
            }
            "slots" if pair.session.is_some() => {
                let device = name.split_once('/').map_or(name, |(device, _)| device);
                *self.slots.entry(named(device)?).or_default() += 1;
            }
            _ => {}
        }
        Ok(())
    }
}

fn named<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> Result<T, String> {
    name.parse().map_err(|error| format!("its name: {error}"))
}

fn session(pair: &PairRef<'_>) -> Result<Option<SessionId>, String> {
    let session = pair.session.map(str::parse).transpose();
    session.map_err(|error| format!("its session: {error}"))
}

fn stored<T: DeserializeOwned>(pair: &PairRef<'_>) -> Result<Stored<T>, String> {
    Ok(Stored {
        value: serde_json::from_slice(pair.value).map_err(|error| error.to_string())?,
        index: pair.modify_index,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> KvPair {
        let pair = serde_json::json!({ "Key": key, "Value": null, "ModifyIndex": 7 });
        let pair: KvPair = serde_json::from_value(pair).unwrap();
        KvPair {
            value: value.into(),
            ..pair
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_hides_nothing_else() {
        let bad = [
            "fence/ops/x",
            "fence/active/n1",
            "fence/ops/0190a8e6-0000-7000-8000-000000000000",
            "fence/nodes/n1",
            "fence/nodes/-",
            "fence/peers/n1",
            "fence/processes/n1",
            "fence/inhibit/n1",
            "fence/guard",
        ];
        let mut pairs: Vec<_> = bad.iter().map(|key| pair(key, "[")).collect();
        pairs.push(pair("fence/nodes/n2", r#"{ "epoch": 3 }"#));
        pairs.push(pair("fence/something/new", "["));
        let view = FenceView::parse(&pairs);
        let named: Vec<_> = view.malformed.keys().map(String::as_str).collect();
        let mut expected = bad.to_vec();
        expected.sort_unstable();
        assert_eq!(named, expected);
        assert_eq!(view.nodes.len(), 1);
        // It is known that something is active, though not what.
        let target = "n1".parse().unwrap();
        assert_eq!(view.active[&target].value, None);
        assert_eq!(view.active[&target].index, Index(7));
        // The guard can still be written.
        assert_eq!(view.guard.index, Index(7));
    }

    #[test]
    fn a_listing_reads_like_its_pairs() {
        let session = "b4b7e6b4-5b9f-4d5c-8f4b-5d0f3d5f3c11";
        let pairs = serde_json::json!([
            { "Key": "fence/nodes/n2", "Value": "eyAiZXBvY2giOiAzIH0=", "ModifyIndex": 4 },
            { "Key": "fence/peers/n1", "Value": "e30=", "ModifyIndex": 5, "Session": session },
            { "Key": "fence/lock/n1", "Value": "", "ModifyIndex": 6, "Session": session },
            { "Key": "fence/slots/pdu/0", "Value": null, "ModifyIndex": 6, "Session": session },
            { "Key": "fence/guard", "Value": "Ww==", "ModifyIndex": 8 },
        ]);
        let listing = Listing::new("fence/".to_owned(), Some(pairs.to_string().into_bytes()));
        let pairs: Vec<KvPair> = serde_json::from_value(pairs).unwrap();
        let view = FenceView::parse_listing(&listing).unwrap();
        assert_eq!(view, FenceView::parse(&pairs));
        assert_eq!(view.nodes.len() + view.peers.len() + view.locks.len(), 3);
        assert_eq!((view.slots.len(), view.malformed.len()), (1, 1));
        assert!(FenceView::parse_listing(&Listing::new(String::new(), Some(vec![b'{']))).is_err());
    }
}
