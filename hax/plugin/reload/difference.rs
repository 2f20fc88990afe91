//! What is to be done to come from one set of instances to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::plugin::PluginConfig;
use crate::plugin::instance::InstanceName;

/// Names, each in one list, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) unchanged: Vec<InstanceName>,
    pub(super) removed: Vec<InstanceName>,
    pub(super) changed: Vec<InstanceName>,
    pub(super) added: Vec<InstanceName>,
}

impl Difference {
    pub(super) fn of(
        old: &BTreeMap<InstanceName, Arc<PluginConfig>>,
        new: &BTreeMap<InstanceName, Arc<PluginConfig>>,
    ) -> Self {
        let mut difference = Self::default();
        for (name, config) in old {
            let list = match new.get(name) {
                None => &mut difference.removed,
                Some(new) if new == config => &mut difference.unchanged,
                Some(_) => &mut difference.changed,
            };
            list.push(name.clone());
        }
        let added = new.keys().filter(|name| !old.contains_key(*name));
        difference.added = added.cloned().collect();
        difference
    }

    /// Those that are stopped.
    pub(super) fn leaving(&self) -> Vec<InstanceName> {
        self.removed.iter().chain(&self.changed).cloned().collect()
    }

    /// Those that are started.
    pub(super) fn arriving(&self) -> Vec<InstanceName> {
        self.changed.iter().chain(&self.added).cloned().collect()
    }
}
