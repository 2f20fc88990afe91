//! The reference of snippets, which README.md repeats.

use super::parse;
use crate::config::plugin::{snippet_reference, snippet_reference_table};
use crate::config::schema::{self, DefaultValue, Kind, Range};

#[test]
fn the_readme_has_the_reference() {
    let readme = include_str!("../../../../README.md");
    let table = snippet_reference_table();
    assert!(
        readme.contains(&table),
        "README.md lacks this table, to the letter:\n{table}"
    );
}

/// The report on a key with this value, if it is about that key.
fn refused(path: &str, value: &str) -> Option<String> {
    let path = path.replace("OBJECT", "process").replace("FIELD", "state");
    let command = "[[umh]]\n[[umh.process]]\ncommand = [\"/x\"]\n";
    let text = match path.strip_prefix("umh.process.") {
        Some("command") => command.to_owned(),
        Some(leaf) => format!("{command}{leaf} = {value}\n"),
        None => match path.strip_prefix("umh.") {
            Some(leaf) => {
                format!("[[umh]]\n{leaf} = {value}\n[[umh.process]]\ncommand = [\"/x\"]\n")
            }
            None => {
                let leaf = path.strip_prefix("prometheus.").unwrap();
                format!("[[prometheus]]\n{leaf} = {value}\n")
            }
        },
    };
    parse(&text).err()
}

#[test]
fn the_reference_agrees_with_the_parser() {
    for key in snippet_reference() {
        let path = key.path;
        let quoted = |value: &str| match key.kind {
            Kind::Boolean | Kind::Number => value.to_owned(),
            Kind::List => format!("[{value:?}]"),
            _ => format!("{value:?}"),
        };
        let accepts = |value: &str| {
            let report = refused(path, &quoted(value));
            report.is_none_or(|report| {
                !report.contains("out of range") && !report.contains("not one of")
            })
        };
        if let DefaultValue::Value(value) = key.default {
            assert!(accepts(value), "{path} = {value}");
        }
        match key.range {
            Range::OneOf(words) if key.kind != Kind::Boolean => {
                assert!(words.iter().all(|word| accepts(word)), "{path}");
                assert!(!accepts("xyzzy"), "{path}");
            }
            Range::Number(min, max) => {
                assert!(accepts(&min.to_string()) && accepts(&max.to_string()));
                assert!(!accepts(&(max + 1).to_string()), "{path}");
            }
            Range::Duration(min, max) => {
                assert!(accepts(&schema::show_duration(min)), "{path}");
                assert!(accepts(&schema::show_duration(max)), "{path}");
                let beyond = max + std::time::Duration::from_millis(1);
                assert!(!accepts(&schema::show_duration(beyond)), "{path}");
            }
            _ => {}
        }
    }
}
