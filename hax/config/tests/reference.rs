//! The reference of keys, which README.md repeats.

use std::time::Duration;

use super::{MINIMAL, parse};
use crate::config::schema::{self, DefaultValue, Kind, Range};
use crate::config::{reference, reference_table};

#[test]
fn the_reference_agrees_with_the_parser() {
    let table = reference_table();
    for key in reference() {
        assert!(
            table.contains(&format!("| `{}` |", key.path)),
            "{}",
            key.path
        );
        let is_required = MINIMAL.contains(&format!("{} = ", key.leaf()));
        assert_eq!(
            key.default == DefaultValue::Required,
            is_required || key.path == "node.name"
        );
        let quoted = |value: &str| match key.kind {
            Kind::Boolean | Kind::Number => value.to_owned(),
            _ => format!("{value:?}"),
        };
        let accepts = |value: &str| {
            let section = format!("[{}]\n", key.section());
            let line = format!("{} = {}\n", key.leaf(), quoted(value));
            let text = if MINIMAL.contains(&section) {
                MINIMAL.replace(&section, &format!("{section}{line}"))
            } else {
                format!("{MINIMAL}{section}{line}")
            };
            // Another key may then disagree (retry.min above retry.max); that is not this one.
            let refused = |line: &str| {
                let (quoted, number) = (format!("{}: \"", key.path), "is out of range");
                line.contains(&quoted) || line.contains(key.path) && line.contains(number)
            };
            parse(&text)
                .err()
                .is_none_or(|report| !report.lines().any(refused))
        };
        if let DefaultValue::Value(value) = key.default {
            assert!(accepts(value), "{} = {value}", key.path);
        }
        match key.range {
            Range::OneOf(words) => assert!(words.iter().all(|word| accepts(word)), "{}", key.path),
            Range::Number(min, max) => {
                assert!(accepts(&min.to_string()) && accepts(&max.to_string()));
                assert!(!accepts(&(max + 1).to_string()), "{}", key.path);
                assert!(!accepts(&(min - 1).to_string()), "{}", key.path);
            }
            Range::Duration(min, max) => {
                assert!(accepts(&schema::show_duration(min)), "{}", key.path);
                assert!(accepts(&schema::show_duration(max)), "{}", key.path);
                let beyond = schema::show_duration(max + Duration::from_millis(1));
                assert!(!accepts(&beyond), "{} = {beyond}", key.path);
            }
            Range::Size(min, max) => {
                assert!(accepts(&schema::show_size(min)) && accepts(&schema::show_size(max)));
                assert!(!accepts(&schema::show_size(max + 1)), "{}", key.path);
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
