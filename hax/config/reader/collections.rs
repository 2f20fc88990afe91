//! Arrays, tables with names of the operator's choice, and arrays of tables.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::names::label_of;
use super::{Element, Reader, one_line};
use crate::config::error::Problem;
use crate::config::schema::{DefaultValue, KeyDoc, Range};

/// A value in a table with names of the operator's choice.
pub(in crate::config) enum Scalar<'v> {
    /// A string.
    Text(&'v str),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// Something else, by TOML's name of its type.
    Other(&'static str),
}

impl<'v> Scalar<'v> {
    pub(super) fn of(value: &'v DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text),
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("integer out of range"), Self::Number),
            other => Self::Other(other.type_str()),
        }
    }

    pub(in crate::config) fn type_str(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Number(_) => "integer",
            Self::Boolean(_) => "boolean",
            Self::Other(kind) => kind,
        }
    }
}

impl<'a> Reader<'a> {
    /// How many tables an array of tables has. Of the tables that were entered, those that hold it stay so.
    pub(in crate::config) fn elements(&mut self, section: &'static str) -> usize {
        self.leave(section);
        match self.section(section) {
            Some((_, DeValue::Array(elements))) => elements.len(),
            _ => 0,
        }
    }

    /// From now on the keys of the section are those of one of its tables. Whether it is a table.
    pub(in crate::config) fn enter(&mut self, section: &'static str, index: usize) -> bool {
        self.leave(section);
        let Some((_, DeValue::Array(elements))) = self.section(section) else {
            return false;
        };
        let Some(element) = elements.get(index).map(Spanned::get_ref) else {
            return false;
        };
        let is_table = element.is_table();
        let label = label_of(section, index, element);
        self.entered.push(Element {
            section,
            index,
            label,
        });
        is_table
    }

    fn leave(&mut self, section: &str) {
        let holds = |outer: &str| {
            let rest = section.strip_prefix(outer);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        self.entered.retain(|element| holds(element.section));
    }

    /// The strings of an array; empty if it is unset, `None` if it, or an element, has been reported.
    pub(in crate::config) fn list<T>(
        &mut self,
        key: &KeyDoc,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.array(key, |element| match element {
            DeValue::String(text) => parse(text).map_err(Problem::Invalid),
            other => Err(wrong("a string", other.type_str())),
        })
    }

    /// The whole numbers of an array, each within the range of the key; as [`Reader::list`].
    pub(in crate::config) fn numbers(&mut self, key: &KeyDoc) -> Option<Vec<u64>> {
        let range = key.range;
        self.array(key, |element| match Scalar::of(element) {
            Scalar::Number(number) => {
                let fits = |number: &u64| match range {
                    Range::Number(min, max) => (min..=max).contains(number),
                    _ => true,
                };
                let value = u64::try_from(number).ok().filter(fits);
                value.ok_or_else(|| Problem::Invalid(format!("{number} is out of range, {range}")))
            }
            other => Err(wrong("a whole number", other.type_str())),
        })
    }

    fn array<T>(
        &mut self,
        key: &KeyDoc,
        mut parse: impl FnMut(&DeValue<'a>) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        let elements: &DeArray<'a> = match self.find(key).map(Spanned::get_ref) {
            Some(DeValue::Array(elements)) => elements,
            Some(other) => {
                let found = other.type_str();
                self.wrong_type(key, found);
                return None;
            }
            None if key.default == DefaultValue::Required => {
                self.missing(key);
                return None;
            }
            None => return Some(Vec::new()),
        };
        let parsed: Vec<_> = elements
            .iter()
            .map(|element| parse(element.get_ref()).map_err(|why| (element.span().start, why)))
            .collect();
        let shown = self.shown(key);
        let total = parsed.len();
        let mut values = Vec::with_capacity(total);
        for value in parsed {
            match value {
                Ok(value) => values.push(value),
                Err((at, problem)) => self.report(at, shown.clone(), problem),
            }
        }
        (values.len() == total).then_some(values)
    }

    /// A table with names of the operator's choice; empty if it is unset, `None` if it, or an entry, has
    /// been reported. No error quotes a value but as `parse` does.
    pub(in crate::config) fn table<K: Ord, T>(
        &mut self,
        key: &KeyDoc,
        mut parse: impl FnMut(&str, Scalar<'_>) -> Result<(K, T), String>,
    ) -> Option<BTreeMap<K, T>> {
        let entries: &DeTable<'a> = match self.find(key).map(Spanned::get_ref) {
            Some(DeValue::Table(entries)) => entries,
            Some(other) => {
                let found = other.type_str();
                self.wrong_type(key, found);
                return None;
            }
            None => return Some(BTreeMap::new()),
        };
        let parsed: Vec<_> = entries
            .iter()
            .map(|(name, value)| {
                let parsed = parse(name.get_ref(), Scalar::of(value.get_ref()));
                parsed.map_err(|why| (name.span().start, one_line(name.get_ref()), why))
            })
            .collect();
        let shown = self.shown(key);
        let total = parsed.len();
        let mut values = BTreeMap::new();
        let mut refused = false;
        for entry in parsed {
            match entry {
                Ok((name, value)) => {
                    values.insert(name, value);
                }
                Err((at, name, why)) => {
                    refused = true;
                    self.report(at, format!("{shown}.{name}"), Problem::Invalid(why));
                }
            }
        }
        (!refused && values.len() == total).then_some(values)
    }

    /// Reports that an entry of a table cannot stand.
    pub(in crate::config) fn refuse_entry(&mut self, key: &KeyDoc, name: &str, why: String) {
        let entries = self.find(key).and_then(|table| table.get_ref().as_table());
        let entry = entries.and_then(|entries| entries.get_key_value(name));
        let at = entry.map_or_else(|| self.place(key), |(name, _)| name.span().start);
        let shown = format!("{}.{}", self.shown(key), one_line(name));
        self.report(at, shown, Problem::Invalid(why));
    }
}

pub(super) fn wrong(expected: &str, found: &'static str) -> Problem {
    Problem::WrongType {
        expected: expected.to_owned(),
        found,
    }
}
