//! What the tests of this folder share.

use crate::cluster::ConfTree;

/// A real tree of three nodes. Node `k` has hax `5k`, a confd `5k + 1`, an ios `5k + 2` and clients.
pub(crate) fn small_tree() -> (ConfTree, Vec<(String, String)>) {
    let text = include_str!("../../tests/data/kv-small.json");
    let list: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    let pairs: Vec<(String, String)> = list
        .iter()
        .map(|pair| {
            let value = match &pair["value"] {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (pair["key"].as_str().unwrap().to_owned(), value)
        })
        .collect();
    let tree = ConfTree::parse_related(
        pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_bytes())),
    );
    (tree, pairs)
}
