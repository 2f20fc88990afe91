//! The reference of keys, which README.md repeats.

use std::time::Duration;

use super::{MINIMAL, parse};
use crate::config::plugin::check_snippet;
use crate::config::schema::{self, DefaultValue, KeyDoc, Kind, Range};
use crate::config::{reference, reference_table};

/// What belongs to every complete file, or table of an array.
const REQUIRED: &[&str] = &[
    "node.name",
    "ha.endpoint",
    "ha.process",
    "ha.ha_service",
    "ha.rm_service",
    "fence.device.name",
    "fence.device.type",
    "fence.level.level",
    "fence.level.devices",
    "fence.policy.name",
];

/// The minimal file with one more line, in its section.
fn with_line(key: &KeyDoc, line: &str) -> String {
    let section = key.section();
    let header = if schema::ARRAYS.contains(&section) {
        format!("[[{section}]]\n")
    } else {
        format!("[{section}]\n")
    };
    if MINIMAL.contains(&header) {
        MINIMAL.replace(&header, &format!("{header}{line}"))
    } else {
        format!("{MINIMAL}{header}{line}")
    }
}

/// Of a device, the line with the type that has the key.
fn type_for(key: &KeyDoc) -> String {
    if key.section() != "fence.device" || key.leaf() == "type" {
        return String::new();
    }
    let has_it = |line: &String| {
        let text = with_line(key, &format!("{} = 0\n{line}", key.leaf()));
        !parse(&text).unwrap_err().contains(" has no ")
    };
    ["agent", "files", "process", "command", "watchdog", "dummy"]
        .map(|kind| format!("type = \"{kind}\"\n"))
        .into_iter()
        .find(has_it)
        .unwrap()
}

/// Whether a value is within the range of a key. Another key may then disagree (retry.min above
/// retry.max), or be missing; that is not this one.
fn accepts(key: &KeyDoc, value: &str) -> bool {
    let quoted = match key.kind {
        Kind::Boolean | Kind::Number => value.to_owned(),
        Kind::Numbers => format!("[{value}]"),
        _ => format!("{value:?}"),
    };
    let line = format!("{} = {quoted}\n", key.leaf());
    let text = with_line(key, &format!("{line}{}", type_for(key)));
    let shown = if schema::ARRAYS.contains(&key.section()) {
        format!("{}[#1].{}", key.section(), key.leaf())
    } else {
        key.path.to_owned()
    };
    let refused = |line: &str| {
        let (quoted, number) = (format!("{shown}: \""), "is out of range");
        let wrong_type = format!("{shown}: expected");
        line.contains(&quoted)
            || line.contains(&wrong_type)
            || line.contains(&shown) && line.contains(number)
    };
    parse(&text)
        .err()
        .is_none_or(|report| !report.lines().any(refused))
}

#[test]
fn the_reference_agrees_with_the_parser() {
    let table = reference_table();
    for key in reference() {
        let path = key.path;
        assert!(table.contains(&format!("| `{path}` |")), "{path}");
        let is_required = REQUIRED.contains(&path);
        assert_eq!(key.default == DefaultValue::Required, is_required, "{path}");
        if let DefaultValue::Value(value) = key.default {
            assert!(accepts(key, value), "{path} = {value}");
        }
        match key.range {
            Range::OneOf(words) => {
                assert!(words.iter().all(|word| accepts(key, word)), "{path}");
                let other = if key.kind == Kind::Boolean {
                    "1"
                } else {
                    "xyzzy"
                };
                assert!(!accepts(key, other), "{path}");
            }
            Range::Number(min, max) => {
                assert!(accepts(key, &min.to_string()) && accepts(key, &max.to_string()));
                assert!(!accepts(key, &(max + 1).to_string()), "{path}");
                let below = i64::try_from(min).unwrap() - 1;
                assert!(!accepts(key, &below.to_string()), "{path}");
            }
            Range::Duration(min, max) => {
                assert!(accepts(key, &schema::show_duration(min)), "{path}");
                assert!(accepts(key, &schema::show_duration(max)), "{path}");
                let beyond = schema::show_duration(max + Duration::from_millis(1));
                assert!(!accepts(key, &beyond), "{path} = {beyond}");
                if let Some(below) = min.checked_sub(Duration::from_millis(1)) {
                    let below = schema::show_duration(below);
                    assert!(!accepts(key, &below), "{path} = {below}");
                }
            }
            Range::Size(min, max) => {
                assert!(accepts(key, &schema::show_size(min)));
                assert!(accepts(key, &schema::show_size(max)));
                assert!(!accepts(key, &schema::show_size(max + 1)), "{path}");
            }
            Range::Rule(_) => {}
        }
    }
}

#[test]
fn the_readme_has_the_reference() {
    let readme = include_str!("../../../README.md");
    let table = reference_table();
    assert!(
        readme.contains(&table),
        "README.md lacks this table, to the letter:\n{table}"
    );
}

#[test]
fn what_the_readme_shows_is_accepted() {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```toml\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    let (snippets, shown): (Vec<_>, Vec<_>) =
        blocks.partition(|block| block.starts_with("[[umh]]"));
    assert!(!snippets.is_empty());
    for snippet in snippets {
        check_snippet("README.md", snippet).unwrap();
    }
    let shown = shown.concat();
    assert!(shown.contains("[[fence.level]]"), "{shown}");
    let config = parse(&format!("{MINIMAL}{shown}")).unwrap();
    let fence = config.fence.unwrap();
    assert_eq!((fence.devices.len(), fence.levels.len()), (3, 2));
    assert!(fence.files.is_some());
}
