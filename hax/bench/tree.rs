//! The configuration tree of a measurement: made up, or from a file.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use halink::{Fid, FidType};

use crate::cluster::fid_of_key;
use crate::ctl::bootstrap;
use crate::ctl::cluster;
use crate::ctl::entry::Entry;
use crate::ctl::kv_file;

/// A tree, and what a measurement needs to know of it.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) entries: Vec<Entry>,
    /// The node whose bridge is measured: the first one with a confd.
    pub(super) node: String,
    /// The bridge's process and its services.
    pub(super) hax: Hax,
    /// Nodes and keys of the confds.
    pub(super) confds: Vec<(String, u64)>,
    /// A process of many services on that node: the one that watches speak of.
    pub(super) watched: Fid,
    /// Every object, devices first.
    pub(super) objects: Vec<Fid>,
}

/// Fids of the bridge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hax {
    pub(super) process: Fid,
    pub(super) ha: Fid,
    pub(super) rms: Fid,
}

/// How large a made-up tree is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    /// Storage devices of each of the two ios of a node.
    pub(super) devices: usize,
}

impl Shape {
    /// About 1,000 objects.
    pub(super) const LARGE: Self = Self {
        nodes: 3,
        devices: 75,
    };
}

impl Tree {
    /// Makes a tree up, as `haxctl bootstrap` would for a cluster of that shape.
    pub(super) fn made_up(shape: Shape) -> Result<Self> {
        let description = describe(shape);
        let problems = |problems: Vec<String>| anyhow!(problems.join("; "));
        let cluster = cluster::parse("made up", &description).map_err(problems)?;
        let plan = bootstrap::plan(&cluster).map_err(|error| anyhow!("{error}"))?;
        Self::of(plan.entries)
    }

    /// Reads a tree from a file of KV pairs.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let read = kv_file::read(file).map_err(|error| anyhow!("{error}"))?;
        Self::of(read.entries).with_context(|| file.display().to_string())
    }

    /// The same cluster without its storage devices: a tree of little else than processes.
    pub(super) fn without_devices(&self) -> Result<Self> {
        let device = |entry: &&Entry| {
            ["/sdevs/", "/drives/"]
                .iter()
                .any(|it| entry.key.contains(it))
        };
        let others = self.entries.iter().filter(|entry| !device(entry));
        Self::of(others.cloned().collect())
    }

    fn of(entries: Vec<Entry>) -> Result<Self> {
        let services = Services::of(&entries);
        let confds = services.find("confd");
        let (node, _) = confds.first().cloned().context(
            "the tree has no confd: no key m0conf/nodes/NODE/processes/KEY/services/confd",
        )?;
        let on_node = |name| {
            let mut found = services.find(name).into_iter();
            found.find(|(on, _)| *on == node).map(|(_, key)| key)
        };
        let process = |key| fid_of_key(FidType::Process, key);
        let own = on_node("ha").with_context(|| format!("node {node} has no service `ha`"))?;
        let service = |name| services.fid(&node, own, name);
        let hax = Hax {
            process: process(own),
            ha: service("ha").context("the service `ha` has no key")?,
            rms: service("rms").context("the bridge has no service `rms`")?,
        };
        let watched = on_node("ios").with_context(|| format!("node {node} has no ios"))?;
        let objects = objects(&entries);
        Ok(Self {
            entries,
            node,
            hax,
            confds,
            watched: process(watched),
            objects,
        })
    }

    /// `count` objects of the tree, over and over if it has fewer.
    pub(super) fn some_objects(&self, count: usize) -> Vec<Fid> {
        self.objects.iter().copied().cycle().take(count).collect()
    }
}

/// `m0conf/nodes/<name>/processes/<key>/services/<name>` = key.
struct Services<'a>(Vec<(&'a str, u64, &'a str, &'a str)>);

impl<'a> Services<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let service = |entry: &'a Entry| {
            let parts: Vec<&str> = entry.key.split('/').collect();
            match parts[..] {
                [
                    "m0conf",
                    "nodes",
                    node,
                    "processes",
                    process,
                    "services",
                    name,
                ] => Some((node, process.parse().ok()?, name, entry.value.as_str())),
                _ => None,
            }
        };
        Self(entries.iter().filter_map(service).collect())
    }

    /// Nodes and keys of the processes that have a service.
    fn find(&self, wanted: &str) -> Vec<(String, u64)> {
        let found = self.0.iter().filter(|(.., name, _)| *name == wanted);
        found
            .map(|(node, process, ..)| ((*node).to_owned(), *process))
            .collect()
    }

    fn fid(&self, node: &str, process: u64, wanted: &str) -> Option<Fid> {
        let found = |(on, of, name, _): &&(&str, u64, &str, &str)| {
            *on == node && *of == process && *name == wanted
        };
        let (.., key) = self.0.iter().find(found)?;
        Some(fid_of_key(FidType::Service, key.trim().parse().ok()?))
    }
}

/// The fids that keys of `m0conf/` end in. Devices come first: a broadcast of their states changes
/// nothing else.
fn objects(entries: &[Entry]) -> Vec<Fid> {
    let last = entries.iter().filter_map(|entry| {
        let path = entry.key.strip_prefix("m0conf/")?;
        path.rsplit('/').next()?.parse::<Fid>().ok()
    });
    let unique: BTreeSet<Fid> = last.collect();
    let is_device = |fid: &Fid| fid.fid_type() == Some(FidType::Sdev);
    let (mut objects, others): (Vec<Fid>, Vec<Fid>) = unique.into_iter().partition(is_device);
    objects.extend(others);
    objects
}

fn describe(shape: Shape) -> String {
    let mut text = String::new();
    let mut port = 30_000_u32;
    let mut next = || {
        port += 1;
        port
    };
    for node in 1..=shape.nodes {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "[[node]]\nname = \"ssu{node}\"\naddress = \"127.0.0.1\"\n\
             [node.hax]\nendpoint = {}\nhttp = {}\n[node.confd]\nendpoint = {}\n",
            next(),
            next(),
            next()
        );
        for ios in 0..2 {
            let devices: Vec<String> = (0..shape.devices)
                .map(|device| format!("\"/dev/disk/by-id/dm-name-ios{ios}-{device}\""))
                .collect();
            let _ = write!(
                text,
                "[[node.ios]]\nendpoint = {}\nsdevs = [{}]\n",
                next(),
                devices.join(", ")
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_tree_has_about_a_thousand_objects() {
        let tree = Tree::made_up(Shape::LARGE).unwrap();
        assert!(
            (900..1_200).contains(&tree.objects.len()),
            "{}",
            tree.objects.len()
        );
        assert_eq!(tree.node, "ssu1");
        assert_eq!(tree.confds.len(), 3);
        assert_eq!(tree.hax.process, "0x7200000000000001:0x0".parse().unwrap());
        assert_eq!(tree.hax.rms, "0x7300000000000001:0x1".parse().unwrap());
        assert_eq!(tree.watched, "0x7200000000000001:0x2".parse().unwrap());
        assert_eq!(tree.objects[0].fid_type(), Some(FidType::Sdev));
    }

    #[test]
    fn without_devices_the_tree_is_small_and_the_processes_are_the_same() {
        let large = Tree::made_up(Shape::LARGE).unwrap();
        let small = large.without_devices().unwrap();
        assert!(small.objects.len() * 5 < large.objects.len());
        assert_eq!(small.watched, large.watched);
        assert_eq!(small.confds, large.confds);
        assert_eq!(small.some_objects(1_024).len(), 1_024);
    }

    #[test]
    fn a_tree_without_a_confd_is_refused() {
        let error = Tree::of(Vec::new()).unwrap_err().to_string();
        assert!(error.contains("no confd"), "{error}");
    }
}
