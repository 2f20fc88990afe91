//! Names that are not in the schema, and sections that are not tables.

use toml::de::{DeTable, DeValue};

use super::{Reader, one_line};
use crate::config::error::Problem;
use crate::config::known::Schema;

/// Where, which key, and what is wrong.
type Wrong = (usize, String, Problem);

impl Reader<'_> {
    /// Reports every name that is not in the schema, and sections that are not tables.
    pub(super) fn check_names(&mut self) {
        let schema = self.schema;
        let mut found = Vec::new();
        for (name, value) in &self.root {
            let (name, at) = (name.get_ref().as_ref(), name.span().start);
            let value = value.get_ref();
            let known = schema.top_sections().find(|known| *known == name);
            match known {
                Some(section) => in_value(schema, section, section, (at, value), &mut found),
                None if value.is_table() => {
                    let problem = Problem::UnknownSection(schema.for_section(name));
                    found.push((at, format!("[{}]", one_line(name)), problem));
                }
                None if is_array_of_tables(value) => {
                    let problem = Problem::UnknownSection(schema.for_section(name));
                    found.push((at, format!("[[{}]]", one_line(name)), problem));
                }
                None => {
                    let problem = Problem::UnknownKey(schema.for_key(None, name));
                    found.push((at, one_line(name), problem));
                }
            }
        }
        for (at, key, problem) in found {
            self.report(at, key, problem);
        }
    }
}

fn is_array_of_tables(value: &DeValue<'_>) -> bool {
    let DeValue::Array(elements) = value else {
        return false;
    };
    let mut tables = elements.iter().map(|element| element.get_ref().is_table());
    !elements.is_empty() && tables.all(|is_table| is_table)
}

/// What is wrong with the names in a section; `label` is what errors call it.
fn in_value(
    schema: &Schema,
    section: &'static str,
    label: &str,
    (at, value): (usize, &DeValue<'_>),
    found: &mut Vec<Wrong>,
) {
    let is_array = schema.is_array(section);
    match value {
        _ if schema.is_opaque(section) => {}
        DeValue::Array(elements) if is_array => {
            for (index, element) in elements.iter().enumerate() {
                let label = label_of(section, index, element.get_ref());
                match element.get_ref().as_table() {
                    Some(table) => in_table(schema, section, &label, table, found),
                    None => {
                        let at = element.span().start;
                        found.push(no_table(is_array, at, section, &label, element.get_ref()));
                    }
                }
            }
        }
        DeValue::Table(table) if !is_array => in_table(schema, section, label, table, found),
        other => found.push(no_table(is_array, at, section, label, other)),
    }
}

fn in_table(
    schema: &Schema,
    section: &'static str,
    label: &str,
    table: &DeTable<'_>,
    found: &mut Vec<Wrong>,
) {
    for (leaf, value) in table {
        let (name, at) = (leaf.get_ref().as_ref(), leaf.span().start);
        if schema.has_key(section, name) {
            continue;
        }
        let path = format!("{label}.{}", one_line(name));
        match schema.nested(section, name) {
            Some(nested) => in_value(schema, nested, &path, (at, value.get_ref()), found),
            None => {
                let hint = schema.for_key(Some(section), name);
                found.push((at, path, Problem::UnknownKey(hint)));
            }
        }
    }
}

fn no_table(is_array: bool, at: usize, section: &str, label: &str, value: &DeValue<'_>) -> Wrong {
    let expected = if is_array {
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

/// What errors call one table of an array: by its name, if that is fit to be shown, else by its number. One
/// that is not nested is the only one of its file.
pub(super) fn label_of(section: &str, index: usize, element: &DeValue<'_>) -> String {
    const SHOWN: usize = 64;
    if !section.contains('.') {
        return section.to_owned();
    }
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
