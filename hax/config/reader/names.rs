//! Names that are not in the schema, and sections that are not tables.

use toml::de::{DeTable, DeValue};

use super::{Reader, one_line};
use crate::config::error::{Hint, Problem};
use crate::config::schema::{ARRAYS, reference, sections, top_sections};

/// Where, which key, and what is wrong.
type Wrong = (usize, String, Problem);

impl Reader<'_> {
    /// Reports every name that is not in the schema, and sections that are not tables.
    pub(super) fn check_names(&mut self) {
        let mut found = Vec::new();
        for (name, value) in &self.root {
            let (section, at) = (name.get_ref().as_ref(), name.span().start);
            let known = top_sections().find(|known| *known == section);
            match (known, value.get_ref().as_table()) {
                (Some(section), Some(table)) => in_section(section, section, table, &mut found),
                (Some(section), None) => {
                    found.push(no_table(at, section, section, value.get_ref()));
                }
                (None, Some(_)) => {
                    let hint = Hint::for_section(section);
                    let shown = format!("[{}]", one_line(section));
                    found.push((at, shown, Problem::UnknownSection(hint)));
                }
                (None, None) => {
                    let hint = Hint::for_key(None, section);
                    found.push((at, one_line(section), Problem::UnknownKey(hint)));
                }
            }
        }
        for (at, key, problem) in found {
            self.report(at, key, problem);
        }
    }
}

/// What is wrong with the names of one table; `label` is what errors call the section.
fn in_section(section: &'static str, label: &str, table: &DeTable<'_>, found: &mut Vec<Wrong>) {
    for (leaf, value) in table {
        let (name, at) = (leaf.get_ref().as_ref(), leaf.span().start);
        if reference()
            .iter()
            .any(|key| key.section() == section && key.leaf() == name)
        {
            continue;
        }
        let nested = sections().find(|path| *path == format!("{section}.{name}"));
        let Some(nested) = nested else {
            let hint = Hint::for_key(Some(section), name);
            let path = format!("{label}.{}", one_line(name));
            found.push((at, path, Problem::UnknownKey(hint)));
            continue;
        };
        match value.get_ref() {
            DeValue::Array(elements) if ARRAYS.contains(&nested) => {
                for (index, element) in elements.iter().enumerate() {
                    let label = label_of(nested, index, element.get_ref());
                    match element.get_ref().as_table() {
                        Some(table) => in_section(nested, &label, table, found),
                        None => {
                            let at = element.span().start;
                            found.push(no_table(at, nested, &label, element.get_ref()));
                        }
                    }
                }
            }
            DeValue::Table(table) if !ARRAYS.contains(&nested) => {
                in_section(nested, nested, table, found);
            }
            other => found.push(no_table(at, nested, nested, other)),
        }
    }
}

fn no_table(at: usize, section: &str, label: &str, value: &DeValue<'_>) -> Wrong {
    let expected = if ARRAYS.contains(&section) {
        format!("tables, [[{section}]]")
    } else {
        format!("a table, [{section}]")
    };
    let problem = Problem::WrongType {
        expected,
        found: value.type_str(),
    };
    (at, label.to_owned(), problem)
}

/// What errors call one table of an array: by its name, if that is fit to be shown, else by its number.
pub(super) fn label_of(section: &str, index: usize, element: &DeValue<'_>) -> String {
    const SHOWN: usize = 64;
    let plain = |name: &&str| {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        !name.is_empty() && name.len() <= SHOWN && name.bytes().all(fine)
    };
    let name = element.as_table().and_then(|table| table.get("name"));
    let name = name.and_then(|name| name.get_ref().as_str());
    match name.filter(plain) {
        Some(name) => format!("{section}[{name}]"),
        None => format!("{section}[#{}]", index + 1),
    }
}
