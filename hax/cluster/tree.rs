//! The configuration tree under `m0conf/` (4/KV), as the bridge needs it.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use halink::{Fid, FidType, HaState};
use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::{HareState, Relations};

/// The container of fids that Hare's tools allocate: a decimal key in KV or in Consul stands for
/// the fid with this container and the type at hand (4/KV).
const CONTAINER: u64 = 1;

/// The fid that a decimal key stands for.
pub fn fid_of_key(fid_type: FidType, key: u64) -> Fid {
    Fid::typed(fid_type, CONTAINER, key)
}

/// What `m0conf/` says, indexed by fid. Lookups take constant time.
///
/// The fids come from the operator's own configuration, so the hash is a fast one that does not
/// defend itself against chosen keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfTree {
    states: FxHashMap<Fid, HaState>,
    process_of: FxHashMap<Fid, Fid>,
    services_of: FxHashMap<Fid, Vec<Fid>>,
    processes_on: FxHashMap<Arc<str>, Vec<Fid>>,
    nodes_of: FxHashMap<Fid, Vec<Arc<str>>>,
    /// Names of services, each name stored once.
    name_of: FxHashMap<Fid, Arc<str>>,
    /// Only where they are asked for: they take memory.
    relations: Option<Box<Relations>>,
}

/// A tree in the making.
#[derive(Debug, Default)]
pub struct ConfTreeBuilder {
    tree: ConfTree,
    /// Drives and sdevs, each with the other.
    twins: Vec<(Fid, Fid)>,
    names: BTreeSet<Arc<str>>,
}

/// The value of an object's key; other members are other readers' business.
#[derive(Deserialize)]
struct StoredObject {
    state: Option<String>,
    sdev: Option<String>,
    /// 4/KV's name for `sdev`; real trees say `sdev`.
    dev: Option<String>,
}

impl ConfTreeBuilder {
    /// A builder of a tree that knows [`ConfTree::relations`].
    pub fn with_relations() -> Self {
        let mut builder = Self::default();
        builder.tree.relations = Some(Box::default());
        builder
    }

    /// Adds a key and its value. What is not understood is left out: the tree has other writers,
    /// and one bad value must not hide the rest.
    pub fn add(&mut self, key: &str, value: &[u8]) {
        let parts: Vec<&str> = key.split('/').collect();
        if let ["m0conf", path @ ..] = parts.as_slice() {
            self.add_path(path, value);
            if let Some(relations) = &mut self.tree.relations {
                relations.add(path, value);
            }
        }
    }

    fn add_all<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        for (key, value) in pairs {
            self.add(key, value);
        }
        self
    }

    fn add_path(&mut self, path: &[&str], value: &[u8]) {
        match path {
            // `nodes/<name>/processes/<key>/...`: what a process consists of, by name and key.
            ["nodes", node, "processes", key, rest @ ..] if key.parse::<u64>().is_ok() => {
                let Ok(key) = key.parse() else { return };
                let process = fid_of_key(FidType::Process, key);
                self.add_process(node, process);
                if let ["services", name] = rest
                    && let Some(service) = service_fid(value)
                {
                    self.add_service(process, service);
                    self.add_name(service, name);
                }
            }
            [.., "processes", process, "services", service] => {
                if let (Ok(process), Ok(service)) = (process.parse(), service.parse()) {
                    self.add_service(process, service);
                    self.add_object(service, value);
                }
            }
            [.., last] => {
                if let Ok(fid) = last.parse() {
                    self.add_object(fid, value);
                }
            }
            [] => {}
        }
    }

    fn add_process(&mut self, node: &str, process: Fid) {
        let processes = match self.tree.processes_on.get_mut(node) {
            Some(processes) => processes,
            None => self.tree.processes_on.entry(node.into()).or_default(),
        };
        // Keys come in order, so those of one process follow each other.
        if processes.last() != Some(&process) {
            processes.push(process);
        }
    }

    fn add_name(&mut self, service: Fid, name: &str) {
        let known = self.names.get(name).cloned();
        let name = known.unwrap_or_else(|| {
            let name: Arc<str> = name.into();
            self.names.insert(Arc::clone(&name));
            name
        });
        self.tree.name_of.insert(service, name);
    }

    fn add_service(&mut self, process: Fid, service: Fid) {
        self.tree.process_of.insert(service, process);
        let services = self.tree.services_of.entry(process).or_default();
        services.push(service);
    }

    fn add_object(&mut self, fid: Fid, value: &[u8]) {
        let states = &mut self.tree.states;
        let Ok(object) = serde_json::from_slice::<StoredObject>(value) else {
            // Present, without a state: `m0conf/pools/<fid>` holds a bare name.
            states.entry(fid).or_insert(HaState::Unknown);
            return;
        };
        let state = object
            .state
            .and_then(|state| HareState::parse(&state))
            .map_or(HaState::Unknown, HareState::ha_state);
        states.insert(fid, state);
        if let Some(Ok(sdev)) = object.sdev.or(object.dev).map(|sdev| sdev.parse::<Fid>()) {
            self.twins.push((fid, sdev));
        }
    }

    /// The tree.
    pub fn build(mut self) -> ConfTree {
        self.share_states();
        let tree = &mut self.tree;
        for fids in tree
            .processes_on
            .values_mut()
            .chain(tree.services_of.values_mut())
        {
            fids.sort_unstable();
            fids.dedup();
            fids.shrink_to_fit();
        }
        for (node, processes) in &tree.processes_on {
            for process in processes {
                let nodes = tree.nodes_of.entry(*process).or_default();
                nodes.push(Arc::clone(node));
            }
        }
        for nodes in tree.nodes_of.values_mut() {
            nodes.sort_unstable();
        }
        self.tree
    }

    /// Gives a drive and its sdev what either has stored, where one has nothing to say.
    fn share_states(&mut self) {
        let states = &mut self.tree.states;
        let mut shared = Vec::new();
        for (one, other) in self.twins.iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
            let silent = matches!(states.get(one), None | Some(HaState::Unknown));
            if let Some(state) = states.get(other).filter(|_| silent) {
                shared.push((*one, *state));
            }
        }
        states.extend(shared);
    }
}

impl ConfTree {
    /// Reads a tree from its keys and values; see [`ConfTreeBuilder::add`].
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self::builder().add_all(pairs).build()
    }

    /// Reads a tree that knows its [relations](Self::relations).
    pub fn parse_related<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        ConfTreeBuilder::with_relations().add_all(pairs).build()
    }

    /// A tree to be made pair by pair.
    pub fn builder() -> ConfTreeBuilder {
        ConfTreeBuilder::default()
    }

    /// The stored state of an object; a drive and its sdev share what either has stored.
    /// `None`: the tree does not know the object.
    pub fn stored_state(&self, object: Fid) -> Option<HaState> {
        self.states.get(&object).copied()
    }

    /// The process a service belongs to.
    pub fn process_of(&self, service: Fid) -> Option<Fid> {
        self.process_of.get(&service).copied()
    }

    /// The services of a process.
    pub fn services_of(&self, process: Fid) -> &[Fid] {
        self.services_of.get(&process).map_or(&[], Vec::as_slice)
    }

    /// Whether a process has a service of this name: `ios`, `confd`, `ha`.
    pub fn has_service(&self, process: Fid, name: &str) -> bool {
        let mut services = self.services_of(process).iter();
        services.any(|service| self.name_of(*service) == Some(name))
    }

    /// The name of a service: `ios`, `confd`, `ha`.
    pub fn name_of(&self, service: Fid) -> Option<&str> {
        self.name_of.get(&service).map(AsRef::as_ref)
    }

    /// The nodes, by name, and the processes configured on each.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &[Fid])> {
        let nodes = self.processes_on.iter();
        nodes.map(|(node, processes)| (node.as_ref(), processes.as_slice()))
    }

    /// The services, and the process each belongs to.
    pub fn services(&self) -> impl Iterator<Item = (Fid, Fid)> {
        let services = self.process_of.iter();
        services.map(|(service, process)| (*service, *process))
    }

    /// The processes configured on a node, by the node's name.
    pub fn processes_on(&self, node: &str) -> &[Fid] {
        self.processes_on.get(node).map_or(&[], Vec::as_slice)
    }

    /// The names of the nodes that a process is configured on: one, if the tree makes sense.
    pub fn nodes_of(&self, process: Fid) -> impl Iterator<Item = &str> {
        let nodes = self.nodes_of.get(&process).map_or(&[][..], Vec::as_slice);
        nodes.iter().map(AsRef::as_ref)
    }

    /// What belongs to what, and what is stored of it in Hare's words; nothing if the tree was built
    /// without them.
    pub fn relations(&self) -> &Relations {
        static NONE: LazyLock<Relations> = LazyLock::new(Relations::default);
        self.relations.as_deref().unwrap_or(&NONE)
    }

    /// Objects the tree knows.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether the tree knows nothing.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

/// A service's fid in `services/<type>`: a decimal key, or the fid itself. `None`: it is neither,
/// or a fid of something else.
pub fn service_fid(value: &[u8]) -> Option<Fid> {
    let text = std::str::from_utf8(value).ok()?.trim();
    match text.parse::<u64>() {
        Ok(key) => Some(fid_of_key(FidType::Service, key)),
        Err(_) => {
            let fid = text.parse::<Fid>().ok()?;
            (fid.fid_type() == Some(FidType::Service)).then_some(fid)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(pairs: &[(&str, &str)]) -> ConfTree {
        ConfTree::parse(pairs.iter().map(|(key, value)| (*key, value.as_bytes())))
    }

    fn fid(text: &str) -> Fid {
        text.parse().unwrap()
    }

    #[test]
    fn both_layouts_name_the_services_of_a_process() {
        let tree = tree(&[
            ("m0conf/nodes/ssu1/processes/1/services/rms", "2"),
            (
                "m0conf/nodes/ssu1/processes/1/endpoint",
                "inet:tcp:127.0.0.1@21001",
            ),
            (
                "m0conf/nodes/0x6e00000000000001:0x0/processes/0x7200000000000001:0x1/services/\
                 0x7300000000000001:0x3",
                r#"{"name":"confd","state":"M0_NC_FAILED"}"#,
            ),
        ]);
        let process = fid("0x7200000000000001:0x1");
        let services = [fid("0x7300000000000001:0x2"), fid("0x7300000000000001:0x3")];
        assert_eq!(tree.services_of(process), services);
        assert_eq!(tree.process_of(services[0]), Some(process));
        assert_eq!(tree.processes_on("ssu1"), [process]);
        assert_eq!(tree.processes_on("ssu2"), []);
        assert_eq!(tree.stored_state(services[1]), Some(HaState::Failed));
        assert_eq!(tree.stored_state(services[0]), None);
    }

    #[test]
    fn a_state_is_read_in_either_spelling() {
        let sdev = "0x6400000000000001:0x4";
        for (stored, state) in [
            ("M0_NC_FAILED", HaState::Failed),
            ("failed", HaState::Failed),
            ("offline", HaState::Transient),
            ("repairing", HaState::Repair),
            ("online", HaState::Online),
            ("neither", HaState::Unknown),
        ] {
            let value = format!(r#"{{"path":"/dev/sdb","state":"{stored}"}}"#);
            let key = format!("m0conf/nodes/n/processes/p/services/s/sdevs/{sdev}");
            let found = tree(&[(&key, &value)]).stored_state(fid(sdev));
            assert_eq!(found, Some(state), "{stored}");
        }
    }

    #[test]
    fn a_drive_and_its_sdev_share_a_state() {
        let drive = "0x6b00000000000001:0x4";
        let sdev = "0x6400000000000001:0x4";
        let drive_key = format!("m0conf/sites/s/racks/r/encls/e/ctrls/c/drives/{drive}");
        for name in ["sdev", "dev"] {
            let value = format!(r#"{{"{name}":"{sdev}","state":"M0_NC_REPAIR"}}"#);
            let tree = tree(&[(&drive_key, &value)]);
            assert_eq!(tree.stored_state(fid(drive)), Some(HaState::Repair));
            assert_eq!(tree.stored_state(fid(sdev)), Some(HaState::Repair));
        }
    }

    #[test]
    fn what_is_not_understood_hides_nothing() {
        let tree = tree(&[
            ("", ""),
            ("m0conf", "x"),
            ("m0conf/", "x"),
            ("m0conf/nodes/n/processes/-1/services/ios", "4"),
            ("m0conf/nodes/n/processes/3/services/ios", "four"),
            (
                "m0conf/nodes/n/processes/3/services/rms",
                "0x7200000000000001:0x4",
            ),
            ("m0conf/pools/0x6f00000000000001:0x0", "the pool"),
            (
                "m0conf/nodes/0x6e00000000000001:0x0",
                r#"{"name":"n","state":"M0_NC_WEIRD"}"#,
            ),
            (
                "other/0x6e00000000000001:0x9",
                r#"{"state":"M0_NC_FAILED"}"#,
            ),
        ]);
        assert_eq!(tree.len(), 2);
        assert_eq!(tree.services_of(fid("0x7200000000000001:0x3")), []);
        assert_eq!(
            tree.stored_state(fid("0x6f00000000000001:0x0")),
            Some(HaState::Unknown)
        );
        assert_eq!(
            tree.stored_state(fid("0x6e00000000000001:0x0")),
            Some(HaState::Unknown)
        );
        assert_eq!(tree.stored_state(fid("0x6e00000000000001:0x9")), None);
    }
}
