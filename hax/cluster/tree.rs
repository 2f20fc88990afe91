//! The configuration tree under `m0conf/` (4/KV), as the bridge needs it.

use std::collections::HashMap;

use halink::{Fid, FidType, HaState};
use serde::Deserialize;

/// The container of fids that Hare's tools allocate: a decimal key in KV or in Consul stands for
/// the fid with this container and the type at hand (4/KV).
const CONTAINER: u64 = 1;

/// The fid that a decimal key stands for.
pub fn fid_of_key(fid_type: FidType, key: u64) -> Fid {
    Fid::typed(fid_type, CONTAINER, key)
}

/// What `m0conf/` says, indexed by fid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfTree {
    states: HashMap<Fid, HaState>,
    process_of: HashMap<Fid, Fid>,
    services_of: HashMap<Fid, Vec<Fid>>,
    twin_of: HashMap<Fid, Fid>,
    processes_on: HashMap<String, Vec<Fid>>,
}

/// The value of an object's key; other members are other readers' business.
#[derive(Deserialize)]
struct StoredObject {
    state: Option<String>,
    sdev: Option<String>,
    /// 4/KV's name for `sdev`; real trees say `sdev`.
    dev: Option<String>,
}

impl ConfTree {
    /// Reads a tree from its keys and values. A key or value that is not understood is left out:
    /// the tree has other writers, and one bad value must not hide the rest.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut tree = Self::default();
        for (key, value) in pairs {
            let parts: Vec<&str> = key.split('/').collect();
            if let ["m0conf", path @ ..] = parts.as_slice() {
                tree.add(path, value);
            }
        }
        tree.sort();
        tree
    }

    fn add(&mut self, path: &[&str], value: &[u8]) {
        match path {
            // `nodes/<name>/processes/<key>/...`: what a process consists of, by name and key.
            ["nodes", node, "processes", key, rest @ ..] if key.parse::<u64>().is_ok() => {
                let Ok(key) = key.parse() else { return };
                let process = fid_of_key(FidType::Process, key);
                let known = self.processes_on.entry((*node).to_owned()).or_default();
                if !known.contains(&process) {
                    known.push(process);
                }
                if let ["services", _] = rest
                    && let Some(service) = service_fid(value)
                {
                    self.add_service(process, service);
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

    fn add_service(&mut self, process: Fid, service: Fid) {
        self.process_of.insert(service, process);
        let services = self.services_of.entry(process).or_default();
        if !services.contains(&service) {
            services.push(service);
        }
    }

    fn add_object(&mut self, fid: Fid, value: &[u8]) {
        let Ok(object) = serde_json::from_slice::<StoredObject>(value) else {
            // Present, without a state: `m0conf/pools/<fid>` holds a bare name.
            self.states.entry(fid).or_insert(HaState::Unknown);
            return;
        };
        let state = object
            .state
            .and_then(|state| state.parse().ok())
            .unwrap_or(HaState::Unknown);
        self.states.insert(fid, state);
        if let Some(Ok(sdev)) = object.sdev.or(object.dev).map(|sdev| sdev.parse::<Fid>()) {
            self.twin_of.insert(fid, sdev);
            self.twin_of.insert(sdev, fid);
        }
    }

    /// Keeps the order of fids in what is derived from hash maps stable.
    fn sort(&mut self) {
        for processes in self.processes_on.values_mut() {
            processes.sort_unstable();
        }
        for services in self.services_of.values_mut() {
            services.sort_unstable();
        }
    }

    /// The stored state of an object; a drive and its sdev share what either has stored.
    /// `None`: the tree does not know the object.
    pub fn stored_state(&self, object: Fid) -> Option<HaState> {
        let own = self.states.get(&object).copied();
        let twin = self
            .twin_of
            .get(&object)
            .and_then(|twin| self.states.get(twin))
            .copied();
        match (own, twin) {
            (None | Some(HaState::Unknown), Some(twin)) => Some(twin),
            _ => own,
        }
    }

    /// The process a service belongs to.
    pub fn process_of(&self, service: Fid) -> Option<Fid> {
        self.process_of.get(&service).copied()
    }

    /// The services of a process.
    pub fn services_of(&self, process: Fid) -> &[Fid] {
        self.services_of.get(&process).map_or(&[], Vec::as_slice)
    }

    /// The processes configured on a node, by the node's name.
    pub fn processes_on(&self, node: &str) -> &[Fid] {
        self.processes_on.get(node).map_or(&[], Vec::as_slice)
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
