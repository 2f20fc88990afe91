//! Everything a described cluster starts from: KV pairs, and two files for each node.

mod agent;
mod layout;
mod settings;
mod tree;

use std::path::PathBuf;

use super::cluster::Cluster;
use super::entry::{Entry, check_key, check_value};
use super::failure::Failure;
use super::output::OutFile;

/// What is to be written for a cluster. It depends on the description alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The KV pairs, in the order of the keys.
    pub entries: Vec<Entry>,
    /// `<node>/consul.json` and `<node>/hax.toml` of each node.
    pub files: Vec<OutFile>,
}

/// Works out what is to be written.
///
/// # Errors
/// [`Failure::BadDescription`] if something in it is too long for Consul.
pub fn plan(cluster: &Cluster) -> Result<Plan, Failure> {
    let nodes = layout::layout(cluster);
    let entries = tree::tree(cluster, &nodes);
    let check = |entry: &Entry| {
        let refused = check_key(&entry.key).and_then(|()| check_value(&entry.value));
        refused.err().map(|why| format!("{} {why}", entry.key))
    };
    let refused: Vec<String> = entries.iter().filter_map(check).collect();
    if !refused.is_empty() {
        return Err(Failure::BadDescription(refused));
    }
    let mut files = Vec::new();
    for node in &nodes {
        let directory = PathBuf::from(&node.node.name);
        let text = format!("{:#}\n", agent::agent(cluster, node));
        files.push(OutFile {
            path: directory.join("consul.json"),
            text,
        });
        if let Some(text) = settings::settings(cluster, node) {
            files.push(OutFile {
                path: directory.join("hax.toml"),
                text,
            });
        }
    }
    Ok(Plan { entries, files })
}

#[cfg(test)]
mod tests;
