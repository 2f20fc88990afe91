//! Files of KV pairs: a JSON list of `{"key": …, "value": …}`.
//!
//! A value that is no string is stored as its JSON text, the way Hare's `cfgen` output
//! is loaded.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::path::Path;

use serde_json::Value;

use super::entry::{Entry, Policy, check_key, check_value};
use super::failure::Failure;

/// Bytes of a file that is read at all.
pub const FILE_MAX: u64 = 64 << 20;

/// What a file says, each key once, in the order of the keys.
#[derive(Debug, PartialEq, Eq)]
pub struct KvFile {
    /// The pairs.
    pub entries: Vec<Entry>,
    /// Pairs given more than once, with the same value.
    pub repeated: usize,
    /// Keys given more than once, with different values; the last one is taken.
    pub redefined: Vec<String>,
}

/// Reads a file of KV pairs.
///
/// # Errors
/// [`Failure::NoInput`] if it cannot be read, [`Failure::BadData`] with everything that
/// is wrong in it.
pub fn read(path: &Path) -> Result<KvFile, Failure> {
    let text = super::input::read(path, FILE_MAX)?;
    parse(&text).map_err(|problems| {
        let name = path.display();
        Failure::BadData(
            problems
                .into_iter()
                .map(|problem| format!("{name}: {problem}"))
                .collect(),
        )
    })
}

/// Reads the text of a file of KV pairs.
///
/// # Errors
/// Everything that is wrong with it, one problem each.
pub fn parse(text: &str) -> Result<KvFile, Vec<String>> {
    let list: Vec<Value> = serde_json::from_str(text)
        .map_err(|error| vec![format!("not a JSON list of KV pairs: {error}")])?;
    let mut problems = Vec::new();
    let mut pairs = BTreeMap::new();
    let (mut repeated, mut redefined) = (0, Vec::new());
    for (index, item) in list.into_iter().enumerate() {
        let (key, value) = match pair(item) {
            Ok(pair) => pair,
            Err(problem) => {
                problems.push(format!("entry {}: {problem}", index + 1));
                continue;
            }
        };
        match pairs.entry(key) {
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(value);
            }
            btree_map::Entry::Occupied(mut occupied) => {
                if occupied.get() == &value {
                    repeated += 1;
                } else {
                    redefined.push(occupied.key().clone());
                    occupied.insert(value);
                }
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    redefined.sort_unstable();
    redefined.dedup();
    let entry = |(key, value)| Entry {
        key,
        value,
        policy: Policy::Exact,
    };
    Ok(KvFile {
        entries: pairs.into_iter().map(entry).collect(),
        repeated,
        redefined,
    })
}

fn pair(item: Value) -> Result<(String, String), String> {
    let Value::Object(mut object) = item else {
        return Err("is no object".to_owned());
    };
    let Some(Value::String(key)) = object.remove("key") else {
        return Err("has no \"key\" that is a string".to_owned());
    };
    let shown = format!("{key:.100?}");
    let value = match object.remove("value") {
        Some(Value::String(value)) => value,
        Some(value) => value.to_string(),
        None => return Err(format!("{shown} has no \"value\"")),
    };
    if let Some(other) = object.keys().next() {
        return Err(format!(
            "{shown} has {other:?}; only \"key\" and \"value\" are known"
        ));
    }
    check_key(&key).map_err(|why| format!("the key {shown} {why}"))?;
    check_value(&value).map_err(|why| format!("{shown} {why}"))?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(file: &KvFile) -> Vec<(&str, &str)> {
        file.entries
            .iter()
            .map(|entry| (entry.key.as_str(), entry.value.as_str()))
            .collect()
    }

    #[test]
    fn values_that_are_no_strings_are_stored_as_json() {
        let file = parse(
            r#"[{"key":"n","value":1},{"key":"s","value":"1"},{"key":"e","value":""},
                {"key":"o","value":{"http": 8008}},{"key":"z","value":null},
                {"key":"b","value":true},{"key":"big","value":18446744073709551615}]"#,
        )
        .unwrap();
        let wanted = [
            ("b", "true"),
            ("big", "18446744073709551615"),
            ("e", ""),
            ("n", "1"),
            ("o", r#"{"http":8008}"#),
            ("s", "1"),
            ("z", "null"),
        ];
        assert_eq!(pairs(&file), wanted);
    }

    #[test]
    fn the_last_of_several_values_wins_and_equal_ones_are_fine() {
        let file = parse(
            r#"[{"key":"a","value":1},{"key":"b","value":1},{"key":"a","value":"1"},
                {"key":"b","value":2},{"key":"b","value":3}]"#,
        )
        .unwrap();
        assert_eq!(pairs(&file), [("a", "1"), ("b", "3")]);
        assert_eq!(file.repeated, 1);
        assert_eq!(file.redefined, ["b"]);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let problems = parse(
            r#"[1, {"value":1}, {"key":"a"}, {"key":"/a","value":1}, {"key":5,"value":1},
                {"key":"ok","value":1}, {"key":"a","value":1,"flags":2}]"#,
        )
        .unwrap_err();
        let wanted = [
            "entry 1: is no object",
            "entry 2: has no \"key\" that is a string",
            "entry 3: \"a\" has no \"value\"",
            "entry 4: the key \"/a\" has an empty segment, or one that is `.` or `..`",
            "entry 5: has no \"key\" that is a string",
            "entry 7: \"a\" has \"flags\"; only \"key\" and \"value\" are known",
        ];
        assert_eq!(problems, wanted);
    }

    #[test]
    fn text_that_is_no_list_is_refused() {
        for text in ["", "{}", "[", r#"{"key":"a","value":1}"#] {
            assert_eq!(parse(text).unwrap_err().len(), 1, "{text}");
        }
    }
}
