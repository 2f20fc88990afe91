//! What belongs to what under `m0conf/` (4/KV): the objects around a process, whose stored states
//! one event of it changes in profile `hare` (`rfc/11-hare-profile.md`).

use std::collections::{BTreeSet, HashMap};

use halink::{Fid, FidType};
use serde::Deserialize;

use super::HareState;
use super::tree::fid_of_key;

/// Objects by fid: what they are part of, and what is stored of them.
///
/// A key is not kept but put together again from the fids above it, so that a large tree costs
/// little memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relations {
    parent_of: HashMap<Fid, Fid>,
    states: HashMap<Fid, HareState>,
    sdevs_of: HashMap<Fid, BTreeSet<Fid>>,
    drive_of: HashMap<Fid, Fid>,
    sdev_of: HashMap<Fid, Fid>,
    enclosure_of: HashMap<Fid, Fid>,
    name_of: HashMap<Fid, String>,
    ios_on: HashMap<Fid, BTreeSet<Fid>>,
    confds: BTreeSet<Fid>,
}

/// The value of an object's key; other members are other readers' business.
#[derive(Deserialize)]
struct Stored {
    name: Option<String>,
    state: Option<String>,
    node: Option<String>,
    sdev: Option<String>,
    /// 4/KV's name for `sdev`; real trees say `sdev`.
    dev: Option<String>,
}

/// Folders of the tree below `m0conf/`, from the top, and what is in them.
const NODES: [(&str, FidType); 4] = [
    ("nodes", FidType::Node),
    ("processes", FidType::Process),
    ("services", FidType::Service),
    ("sdevs", FidType::Sdev),
];
const SITES: [(&str, FidType); 5] = [
    ("sites", FidType::Site),
    ("racks", FidType::Rack),
    ("encls", FidType::Enclosure),
    ("ctrls", FidType::Controller),
    ("drives", FidType::Drive),
];

impl Relations {
    /// Takes in one key, split at its `/` and without `m0conf`. What is not understood is left out.
    pub(super) fn add(&mut self, path: &[&str], value: &[u8]) {
        if let ["nodes", _, "processes", key, "services", "confd"] = path
            && let Ok(key) = key.parse()
        {
            self.confds.insert(fid_of_key(FidType::Process, key));
        }
        let Some(line) = line(path, &NODES).or_else(|| line(path, &SITES)) else {
            return;
        };
        for (child, parent) in line.iter().skip(1).zip(&line) {
            self.parent_of.insert(*child, *parent);
        }
        let (Some(object), Ok(stored)) = (line.last(), serde_json::from_slice::<Stored>(value))
        else {
            return;
        };
        let state = stored.state.as_deref().and_then(HareState::parse);
        self.states
            .insert(*object, state.unwrap_or(HareState::Unknown));
        match (line.as_slice(), stored) {
            (
                &[node],
                Stored {
                    name: Some(name), ..
                },
            ) if is(node, FidType::Node) => {
                self.name_of.insert(node, name);
            }
            (
                &[node, process, service],
                Stored {
                    name: Some(name), ..
                },
            ) if is(service, FidType::Service) => {
                if name == "ios" {
                    self.ios_on.entry(node).or_default().insert(process);
                }
                if name == "confd" {
                    self.confds.insert(process);
                }
            }
            (&[_, process, _, sdev], _) if is(sdev, FidType::Sdev) => {
                self.sdevs_of.entry(process).or_default().insert(sdev);
            }
            (
                &[.., enclosure],
                Stored {
                    node: Some(node), ..
                },
            ) if is(enclosure, FidType::Enclosure) => {
                if let Ok(node) = node.parse() {
                    self.enclosure_of.insert(node, enclosure);
                }
            }
            (&[.., drive], Stored { sdev, dev, .. }) if is(drive, FidType::Drive) => {
                if let Some(Ok(sdev)) = sdev.or(dev).map(|sdev| sdev.parse()) {
                    self.drive_of.insert(sdev, drive);
                    self.sdev_of.insert(drive, sdev);
                }
            }
            _ => {}
        }
    }

    /// The key of an object below `m0conf/`; `None` if the tree has no place for it.
    pub fn key(&self, object: Fid) -> Option<String> {
        let folders = NODES.iter().chain(&SITES);
        let (folder, _) = folders
            .clone()
            .find(|(_, fid_type)| is(object, *fid_type))?;
        match self.parent_of.get(&object) {
            // Types of parents are strictly above those of their children, so this ends.
            Some(parent) => Some(format!("{}/{folder}/{object}", self.key(*parent)?)),
            None if matches!(object.fid_type(), Some(FidType::Node | FidType::Site)) => {
                Some(format!("m0conf/{folder}/{object}"))
            }
            None => None,
        }
    }

    /// What the view has stored of an object; `None` if there is no such object.
    pub fn state(&self, object: Fid) -> Option<HareState> {
        self.states.get(&object).copied()
    }

    /// The node a process is configured on.
    pub fn node_of(&self, process: Fid) -> Option<Fid> {
        let parent = self.parent_of.get(&process).copied();
        parent.filter(|node| is(*node, FidType::Node))
    }

    /// The name of a node in the Consul catalog.
    pub fn name_of(&self, node: Fid) -> Option<&str> {
        self.name_of.get(&node).map(String::as_str)
    }

    /// The enclosure of a node.
    pub fn enclosure_of(&self, node: Fid) -> Option<Fid> {
        self.enclosure_of.get(&node).copied()
    }

    /// The storage devices of a process, those of all its services.
    pub fn sdevs_of(&self, process: Fid) -> impl Iterator<Item = Fid> {
        self.sdevs_of.get(&process).into_iter().flatten().copied()
    }

    /// The drive a storage device is.
    pub fn drive_of(&self, sdev: Fid) -> Option<Fid> {
        self.drive_of.get(&sdev).copied()
    }

    /// The storage device a drive is; that of a storage device is itself.
    pub fn sdev_of(&self, device: Fid) -> Option<Fid> {
        match device.fid_type() {
            Some(FidType::Sdev) => Some(device),
            _ => self.sdev_of.get(&device).copied(),
        }
    }

    /// The controllers the drives of a process are in.
    pub fn controllers_of(&self, process: Fid) -> BTreeSet<Fid> {
        let drives = self
            .sdevs_of(process)
            .filter_map(|sdev| self.drive_of(sdev));
        drives
            .filter_map(|drive| self.parent_of.get(&drive).copied())
            .collect()
    }

    /// The processes on a node that have an `ios`.
    pub fn ios_on(&self, node: Fid) -> impl Iterator<Item = Fid> {
        self.ios_on.get(&node).into_iter().flatten().copied()
    }

    /// Whether a process has a `confd`.
    pub fn is_confd(&self, process: Fid) -> bool {
        self.confds.contains(&process)
    }
}

fn is(object: Fid, fid_type: FidType) -> bool {
    object.fid_type() == Some(fid_type)
}

/// The fids of a path of alternating folders and fids, from the top.
fn line(path: &[&str], folders: &[(&str, FidType)]) -> Option<Vec<Fid>> {
    let (pairs, []) = path.as_chunks::<2>() else {
        return None;
    };
    if pairs.is_empty() || pairs.len() > folders.len() {
        return None;
    }
    let fid = |([folder, fid], (expected, fid_type)): (&[&str; 2], &(&str, FidType))| {
        let parsed: Fid = fid.parse().ok().filter(|fid| is(*fid, *fid_type))?;
        // Another spelling of a fid makes another key, which could not be put together again.
        (folder == expected && parsed.to_string() == *fid).then_some(parsed)
    };
    pairs.iter().zip(folders).map(fid).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ConfTree;
    use super::*;
    use crate::profile::tests::small_tree;

    fn fid(fid_type: FidType, key: u64) -> Fid {
        Fid::typed(fid_type, 1, key)
    }

    #[test]
    fn the_objects_around_an_ios_of_a_real_tree_are_found() {
        let (tree, _) = small_tree();
        let relations = tree.relations();
        let ios = fid(FidType::Process, 7);
        let node = fid(FidType::Node, 1);
        assert_eq!(relations.node_of(ios), Some(node));
        assert_eq!(relations.name_of(node), Some("ssu2"));
        assert_eq!(
            relations.enclosure_of(node),
            Some(fid(FidType::Enclosure, 1))
        );
        let sdevs: Vec<Fid> = relations.sdevs_of(ios).collect();
        let expected = [5, 6, 7, 8, 9, 0x10].map(|key| fid(FidType::Sdev, key));
        assert_eq!(sdevs, expected);
        let drives = sdevs.iter().map(|sdev| relations.drive_of(*sdev).unwrap());
        for (drive, sdev) in drives.zip(&sdevs) {
            assert_eq!(drive, fid(FidType::Drive, sdev.key()));
            assert_eq!(relations.sdev_of(drive), Some(*sdev));
        }
        let controllers = BTreeSet::from([fid(FidType::Controller, 1)]);
        assert_eq!(relations.controllers_of(ios), controllers);
        assert_eq!(relations.ios_on(node).collect::<Vec<_>>(), [ios]);
        assert!(relations.is_confd(fid(FidType::Process, 6)));
        assert!(!relations.is_confd(ios));
        assert_eq!(relations.sdevs_of(fid(FidType::Process, 6)).count(), 0);
    }

    #[test]
    fn every_key_of_an_object_is_put_together_as_it_is_stored() {
        let (tree, pairs) = small_tree();
        let mut objects = 0;
        for (key, value) in &pairs {
            let last: Option<Fid> = key.rsplit('/').next().and_then(|last| last.parse().ok());
            if let Some(object) = last
                && value.contains("\"state\"")
            {
                assert_eq!(tree.relations().key(object).as_ref(), Some(key));
                assert_eq!(tree.relations().state(object), Some(HareState::Unknown));
                objects += 1;
            }
        }
        assert_eq!(objects, 128);
        assert_eq!(tree.relations().key(fid(FidType::Drive, 99)), None);
        assert_eq!(tree.relations().key(fid(FidType::Pool, 0)), None);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        let node = fid(FidType::Node, 1);
        for (key, value) in [
            (
                "m0conf/nodes/0x6e00000000000001:0x01",
                r#"{"state":"online"}"#,
            ),
            (
                "m0conf/nodes/0x7200000000000001:0x1",
                r#"{"state":"online"}"#,
            ),
            (
                "m0conf/racks/0x6e00000000000001:0x1",
                r#"{"state":"online"}"#,
            ),
            ("m0conf/nodes/0x6e00000000000001:0x1/processes", "{}"),
            ("m0conf/nodes/0x6e00000000000001:0x1", "online"),
        ] {
            let tree = ConfTree::parse_related([(key, value.as_bytes())]);
            assert_eq!(tree.relations().state(node), None, "{key}");
        }
        let weird = [(
            "m0conf/nodes/0x6e00000000000001:0x1",
            br#"{"state":"shining"}"#.as_slice(),
        )];
        let state = ConfTree::parse_related(weird).relations().state(node);
        assert_eq!(state, Some(HareState::Unknown));
    }
}
