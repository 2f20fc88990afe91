//! What a device can fence, and with which delay.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Delay, HostCheck, Hosts};
use super::{schema as keys, value};
use crate::config::build::{choice, duration};
use crate::config::reader::{Reader, Scalar};
use crate::config::schema::{KeyDoc, Range};
use crate::fence::model::NodeName;

/// How a device can be asked what it can fence, if not by what is named.
pub(super) struct Askable {
    /// It may be able to list.
    pub(super) list: bool,
    /// It may be able to tell a status.
    pub(super) status: bool,
    /// What must be done if it cannot, in words.
    pub(super) without: &'static str,
}

/// The hosts of a device whose targets have ports.
pub(super) fn with_ports(r: &mut Reader<'_>, askable: &Askable) -> Option<Hosts> {
    let hosts = r.list(&keys::DEVICE_HOSTS, value::node);
    let host_list = r.text(&keys::DEVICE_HOST_LIST, value::host_list);
    let ports = r.table(&keys::DEVICE_PORTS, |name, port| {
        let port = match port {
            Scalar::Text(text) => value::port(text).map_err(|why| format!("the port {why}"))?,
            Scalar::Number(number) if number >= 0 => number.to_string(),
            _ => return Err("the port is not a string, and not a whole number".to_owned()),
        };
        Ok((value::node(name)?, port))
    });
    let host_map = r.text(&keys::DEVICE_HOST_MAP, value::host_map);
    either(r, &keys::DEVICE_HOSTS, &keys::DEVICE_HOST_LIST);
    either(r, &keys::DEVICE_PORTS, &keys::DEVICE_HOST_MAP);
    let check = choice(r, &keys::DEVICE_HOST_CHECK, |word| match word {
        "static" => Some(HostCheck::Static),
        "dynamic" => Some(HostCheck::Dynamic),
        "status" => Some(HostCheck::Status),
        "none" => Some(HostCheck::None),
        _ => None,
    });
    let given = |key: &KeyDoc| r.is_given(key);
    let (checked, listed) = (
        given(&keys::DEVICE_HOST_CHECK),
        given(&keys::DEVICE_HOSTS) || given(&keys::DEVICE_HOST_LIST),
    );
    let named = listed || given(&keys::DEVICE_PORTS) || given(&keys::DEVICE_HOST_MAP);
    let list = if r.is_given(&keys::DEVICE_HOSTS) {
        hosts?
    } else {
        written(r, &keys::DEVICE_HOST_LIST, host_list)?
    };
    twice(r, &keys::DEVICE_HOSTS, &list);
    let map = if r.is_given(&keys::DEVICE_PORTS) {
        ports?
    } else {
        written(r, &keys::DEVICE_HOST_MAP, host_map)?
    };
    let check = match check {
        Some(check) => check,
        None if checked => return None,
        None if named => HostCheck::Static,
        None => HostCheck::Dynamic,
    };
    let at = match (checked, listed) {
        (true, _) => &keys::DEVICE_HOST_CHECK,
        (false, true) => &keys::DEVICE_HOSTS,
        (false, false) => &keys::DEVICE_NAME,
    };
    match check {
        HostCheck::Static if list.is_empty() && map.is_empty() => {
            r.refuse(
                at,
                "static, but neither hosts nor ports name a node that it can fence".to_owned(),
            );
        }
        HostCheck::Dynamic | HostCheck::Status | HostCheck::None if listed => {
            let key = if r.is_given(&keys::DEVICE_HOSTS) {
                &keys::DEVICE_HOSTS
            } else {
                &keys::DEVICE_HOST_LIST
            };
            r.refuse(key, "counts only with host_check = \"static\"".to_owned());
        }
        HostCheck::Dynamic if !askable.list => {
            r.refuse(
                at,
                format!("it cannot list what it fences; {}", askable.without),
            );
        }
        HostCheck::Status if !askable.status => {
            r.refuse(at, format!("it cannot tell a status; {}", askable.without));
        }
        _ => {}
    }
    Some(Hosts { check, list, map })
}

/// The hosts of a watchdog: by name, or whoever publishes that his is armed.
pub(super) fn of_watchdog(r: &mut Reader<'_>) -> Option<Hosts> {
    let hosts = r.list(&keys::DEVICE_HOSTS, value::node);
    let host_list = r.text(&keys::DEVICE_HOST_LIST, value::host_list);
    either(r, &keys::DEVICE_HOSTS, &keys::DEVICE_HOST_LIST);
    let list = if r.is_given(&keys::DEVICE_HOSTS) {
        let list = hosts?;
        if list.is_empty() {
            r.refuse(&keys::DEVICE_HOSTS, "names no node".to_owned());
        }
        list
    } else {
        written(r, &keys::DEVICE_HOST_LIST, host_list)?
    };
    twice(r, &keys::DEVICE_HOSTS, &list);
    let check = if list.is_empty() {
        HostCheck::Dynamic
    } else {
        HostCheck::Static
    };
    Some(Hosts {
        check,
        list,
        map: BTreeMap::new(),
    })
}

/// The peers of a device.
pub(super) fn peers(r: &mut Reader<'_>) -> Option<Vec<NodeName>> {
    let peers = r.list(&keys::DEVICE_PEERS, value::node)?;
    if peers.is_empty() && r.is_given(&keys::DEVICE_PEERS) {
        r.refuse(
            &keys::DEVICE_PEERS,
            "names no node; leave the key out if all can use it".to_owned(),
        );
    }
    twice(r, &keys::DEVICE_PEERS, &peers);
    Some(peers)
}

/// The delays of a device. A delay for a node that the device does not fence is a misspelt name.
pub(super) fn delay(r: &mut Reader<'_>, hosts: Option<&Hosts>) -> Option<Delay> {
    let base = duration(r, &keys::DEVICE_DELAY);
    let range = keys::DEVICE_DELAY.range;
    let per_node = r.table(&keys::DEVICE_DELAYS, |name, delay| {
        let Scalar::Text(text) = delay else {
            return Err("is not a duration such as \"5s\"".to_owned());
        };
        let delay = crate::config::value::duration(text)?;
        match range {
            Range::Duration(min, max) if !(min..=max).contains(&delay) => {
                Err(format!("{text:?} is out of range, {range}"))
            }
            _ => Ok((value::node(name)?, delay)),
        }
    });
    let random = duration(r, &keys::DEVICE_DELAY_RANDOM);
    let per_node = per_node?;
    if let Some(hosts) = hosts.filter(|hosts| hosts.check == HostCheck::Static) {
        for node in per_node.keys() {
            if !names(hosts, node) {
                let why = "the device does not fence this node".to_owned();
                r.refuse_entry(&keys::DEVICE_DELAYS, node.as_str(), why);
            }
        }
    }
    Some(Delay {
        base: base?,
        per_node,
        random: random?,
    })
}

/// Whether hosts or ports name a node.
pub(super) fn names(hosts: &Hosts, node: &NodeName) -> bool {
    hosts.list.contains(node) || hosts.map.contains_key(node)
}

/// What was read; empty if the key is not written, `None` if it has been reported.
fn written<T: Default>(r: &Reader<'_>, key: &KeyDoc, read: Option<T>) -> Option<T> {
    read.or_else(|| (!r.is_given(key)).then(T::default))
}

fn either(r: &mut Reader<'_>, ours: &KeyDoc, theirs: &KeyDoc) {
    if r.is_given(ours) && r.is_given(theirs) {
        let why = format!("says the same as {}; give one of them", ours.leaf());
        r.refuse(theirs, why);
    }
}

fn twice(r: &mut Reader<'_>, key: &KeyDoc, nodes: &[NodeName]) {
    let mut seen = BTreeSet::new();
    for node in nodes {
        if !seen.insert(node) {
            r.refuse(key, format!("{node} is named twice"));
        }
    }
}
