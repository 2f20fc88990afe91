//! `haxctl kv load`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consul_client::Client;
use hax::ctl::entry::{Entry, Policy};
use hax::ctl::failure::Failure;
use hax::ctl::load::{Loaded, apply, compare};
use serde_json::json;

use super::{expect, haxctl, stderr, stdout};
use crate::common::consul::{Consul, free_ports};

const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kv-small.json");

/// Everything in the KV store.
async fn all(client: &Client) -> BTreeMap<String, String> {
    let pairs = client.kv().list("").await.unwrap().value;
    pairs
        .iter()
        .map(|pair| (pair.key.clone(), pair.text().unwrap().to_owned()))
        .collect()
}

fn pairs_of(path: &Path) -> BTreeMap<String, String> {
    let entries = hax::ctl::kv_file::read(path).unwrap().entries;
    entries
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect()
}

fn file_of(directory: &Path, pairs: &serde_json::Value) -> PathBuf {
    let path = directory.join("kv.json");
    std::fs::write(&path, pairs.to_string()).unwrap();
    path
}

fn entries(pairs: &[(&str, &str)]) -> Vec<Entry> {
    let entry = |(key, value): &(&str, &str)| Entry {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
        policy: Policy::Exact,
    };
    pairs.iter().map(entry).collect()
}

#[tokio::test]
async fn a_real_tree_is_loaded_once() {
    let consul = Consul::start().await;
    let first = haxctl(&["kv", "load", SMALL, "--consul", &consul.address()]).await;
    expect(&first, 0);
    let wanted = "57 pairs occur more than once\n\
                  keys: 266 created, 0 replaced, 0 as they should be\n";
    assert_eq!(stdout(&first), wanted);
    assert_eq!(stderr(&first), "", "no progress where there is no terminal");
    let there = all(&consul.client()).await;
    assert_eq!(there, pairs_of(Path::new(SMALL)));
    assert_eq!(there["epoch"], "1");
    assert_eq!(there["ports/ssu1/hax"], r#"{"http": 8008}"#);

    let again = haxctl(&["kv", "load", SMALL, "--consul", &consul.address()]).await;
    expect(&again, 0);
    assert!(stdout(&again).ends_with("keys: 0 created, 0 replaced, 266 as they should be\n"));
}

#[tokio::test]
async fn a_large_tree_with_large_values_is_loaded() {
    let consul = Consul::start().await;
    let directory = tempfile::tempdir().unwrap();
    let node = |n: u64| {
        let key = format!("m0conf/nodes/0x6e00000000000001:{n:#x}");
        json!({ "key": key, "value": { "name": format!("ssu{n}"), "state": "M0_NC_UNKNOWN" } })
    };
    let mut pairs: Vec<_> = (0..3000).map(node).collect();
    pairs.push(json!({ "key": "in a transaction", "value": "v".repeat(300 << 10) }));
    pairs.push(json!({ "key": "too large for one", "value": "v".repeat(512 << 10) }));
    pairs.push(json!({ "key": "ключ/a b?c#d%/é", "value": "\u{1F600}" }));
    let file = file_of(directory.path(), &pairs.into());
    let path = file.to_str().unwrap();
    let loaded = haxctl(&["kv", "load", path, "--consul", &consul.address()]).await;
    expect(&loaded, 0);
    assert_eq!(
        stdout(&loaded),
        "keys: 3003 created, 0 replaced, 0 as they should be\n"
    );
    assert!(all(&consul.client()).await == pairs_of(&file));
    let again = haxctl(&["kv", "load", path, "--consul", &consul.address()]).await;
    assert_eq!(
        stdout(&again),
        "keys: 0 created, 0 replaced, 3003 as they should be\n"
    );
}

#[tokio::test]
async fn other_values_are_not_overwritten_without_force() {
    let consul = Consul::start().await;
    let client = consul.client();
    client.kv().put("b/2", "theirs").await.unwrap();
    client.kv().put("c", "3").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let pairs = json!([{ "key": "a", "value": "1" }, { "key": "b/2", "value": "ours" },
                       { "key": "c", "value": 4 }]);
    let file = file_of(directory.path(), &pairs);
    let path = file.to_str().unwrap();
    let before = all(&client).await;

    let refused = haxctl(&["kv", "load", path, "--consul", &consul.address()]).await;
    expect(&refused, 73);
    let wanted = "haxctl: keys have other values, --force replaces them:\n\
                  haxctl: b/2 is \"theirs\", not \"ours\"\n\
                  haxctl: c is \"3\", not \"4\"\n";
    assert_eq!(stderr(&refused), wanted);
    assert_eq!(all(&client).await, before, "nothing is written");

    let args = [
        "kv",
        "load",
        path,
        "--consul",
        &consul.address(),
        "--force",
        "--dry-run",
    ];
    let told = haxctl(&args).await;
    expect(&told, 0);
    let wanted = "create a\nreplace b/2 is \"theirs\", not \"ours\"\nreplace c is \"3\", not \"4\"\n\
                  keys: 1 missing, 2 different, 0 as they should be\n";
    assert_eq!(stdout(&told), wanted);
    assert_eq!(all(&client).await, before, "nothing is written");

    let forced = haxctl(&args[..6]).await;
    expect(&forced, 0);
    assert_eq!(
        stdout(&forced),
        "keys: 1 created, 2 replaced, 0 as they should be\n"
    );
    assert_eq!(all(&client).await, pairs_of(&file));
}

#[tokio::test]
async fn a_write_in_between_is_not_overwritten() {
    let consul = Consul::start().await;
    let client = consul.client();
    let ours = entries(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let comparison = compare(&client, ours).await.unwrap();
    client.kv().put("a", "1").await.unwrap();
    client.kv().put("b", "theirs").await.unwrap();
    let refused = apply(&client, comparison, false, |_, _| {})
        .await
        .unwrap_err();
    let Failure::Conflict(conflicts) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(conflicts, [r#"b is "theirs", not "2""#]);
    let there = all(&client).await;
    assert_eq!((there["a"].as_str(), there["b"].as_str()), ("1", "theirs"));
    assert!(
        !there.contains_key("c"),
        "the transaction is all or nothing"
    );
}

#[tokio::test]
async fn a_write_in_between_is_replaced_with_force_and_kept_if_equal() {
    let consul = Consul::start().await;
    let client = consul.client();
    client.kv().put("a", "old").await.unwrap();
    let large = "v".repeat(450 << 10);
    let ours = entries(&[("a", "1"), ("b", "2"), ("c", &large)]);
    let comparison = compare(&client, ours).await.unwrap();
    client.kv().put("a", "newer").await.unwrap();
    client.kv().put("b", "2").await.unwrap();
    client.kv().put("c", "small").await.unwrap();
    let mut seen = Vec::new();
    let loaded = apply(&client, comparison, true, |done, total| {
        seen.push((done, total))
    })
    .await;
    assert_eq!(
        loaded.unwrap(),
        Loaded {
            created: 0,
            replaced: 2,
            same: 1
        }
    );
    assert_eq!(seen.last(), Some(&(3, 3)));
    let there = all(&client).await;
    assert_eq!((there["a"].as_str(), there["b"].as_str()), ("1", "2"));
    assert!(there["c"] == large);
}

#[tokio::test]
async fn failures_have_their_own_exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = file_of(
        directory.path(),
        &json!([{ "key": "/a", "value": 1 }, { "key": "b" }]),
    );
    let wrong = wrong.to_str().unwrap();
    let [port] = free_ports();
    let nobody = format!("127.0.0.1:{port}");

    let bad = haxctl(&["kv", "load", wrong, "--consul", &nobody]).await;
    expect(&bad, 65);
    assert_eq!(
        stderr(&bad).lines().count(),
        2,
        "both errors at once: {}",
        stderr(&bad)
    );
    expect(&haxctl(&["kv", "load", "/nonexistent"]).await, 66);
    expect(
        &haxctl(&["kv", "load", SMALL, "--consul", &nobody]).await,
        69,
    );
    expect(
        &haxctl(&["kv", "load", SMALL, "--consul", "ftp://x"]).await,
        64,
    );
    expect(&haxctl(&["kv", "load"]).await, 64);
    expect(&haxctl(&["kv", "lood"]).await, 64);
    let help = haxctl(&["kv", "load", "--help"]).await;
    expect(&help, 0);
    assert!(stdout(&help).contains("73  something else is there already"));
}
