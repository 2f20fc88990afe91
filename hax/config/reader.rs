//! The raw stage: a TOML document with places, and typed access that notes every error.

mod collections;
mod forms;
mod names;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) use collections::Scalar;
pub(super) use forms::Words;

use super::error::{Found, Problem};
use super::known::Schema;
use super::schema::{DefaultValue, KeyDoc, Kind, Range};

/// A parsed document and the errors found in it so far.
pub(super) struct Reader<'a> {
    root: DeTable<'a>,
    schema: &'static Schema,
    /// The elements of arrays of tables to which the keys of their sections belong now, the outer first.
    entered: Vec<Element>,
    errors: Vec<Found>,
}

/// One table of an array of tables.
struct Element {
    section: &'static str,
    index: usize,
    /// `fence.device[apc]`, or `fence.device[#2]` if it has no name.
    label: String,
}

impl<'a> Reader<'a> {
    /// Parses the text. Errors of syntax are reported alone, because what follows one is a guess.
    pub(super) fn parse(text: &'a str, schema: &'static Schema) -> Result<Self, Vec<Found>> {
        let (root, syntax) = DeTable::parse_recoverable(text);
        if syntax.is_empty() {
            let mut reader = Self {
                root: root.into_inner(),
                schema,
                entered: Vec::new(),
                errors: Vec::new(),
            };
            reader.check_names();
            return Ok(reader);
        }
        let found = |error: toml::de::Error| Found {
            at: error.span().map_or(0, |span| span.start),
            key: None,
            // The message only: the full text quotes the line, which may hold a secret.
            problem: Problem::Syntax(one_line(error.message())),
        };
        Err(syntax.into_iter().map(found).collect())
    }

    /// The errors found.
    pub(super) fn into_errors(self) -> Vec<Found> {
        self.errors
    }

    fn report(&mut self, at: usize, key: String, problem: Problem) {
        self.errors.push(Found {
            at,
            key: Some(key),
            problem,
        });
    }

    /// A section as it is written, with where that is; `None` if it is not written.
    fn section(&self, path: &str) -> Option<(usize, &DeValue<'a>)> {
        let mut table = Some(&self.root);
        let mut found = None;
        let mut end = 0;
        for name in path.split('.') {
            end += name.len();
            let (name, value) = table?.get_key_value(name)?;
            let (mut at, mut value) = (name.span().start, value.get_ref());
            let prefix = path.get(..end)?;
            let entered = self.entered.iter().find(|of| of.section == prefix);
            if let (Some(entered), DeValue::Array(elements)) = (entered, value) {
                let element = elements.get(entered.index)?;
                (at, value) = (element.span().start, element.get_ref());
            }
            (table, found) = (value.as_table(), Some((at, value)));
            // The dot.
            end += 1;
        }
        found
    }

    fn find(&self, key: &KeyDoc) -> Option<&Spanned<DeValue<'a>>> {
        let (_, section) = self.section(key.section())?;
        section.as_table()?.get(key.leaf())
    }

    /// Where a key is written, or where it would have been.
    pub(super) fn place(&self, key: &KeyDoc) -> usize {
        self.find(key)
            .map(|value| value.span().start)
            .unwrap_or_else(|| self.section(key.section()).map_or(0, |(at, _)| at))
    }

    /// The key as errors name it.
    fn shown(&self, key: &KeyDoc) -> String {
        let inner = self.entered.iter().rev().find_map(|element| {
            let rest = key.path.strip_prefix(element.section)?;
            let below = rest.starts_with('.');
            below.then(|| format!("{}{rest}", element.label))
        });
        inner.unwrap_or_else(|| key.path.to_owned())
    }

    /// Whether a section is written in the file, rightly or not.
    pub(super) fn has_section(&self, path: &str) -> bool {
        self.section(path).is_some()
    }

    /// Reports that a key's value cannot stand.
    pub(super) fn refuse(&mut self, key: &KeyDoc, why: String) {
        self.report(self.place(key), self.shown(key), Problem::Invalid(why));
    }

    /// Whether the key is written in the file, rightly or not.
    pub(super) fn is_given(&self, key: &KeyDoc) -> bool {
        self.find(key).is_some()
    }

    /// The value of a key that is a string; `None` if it is unset or has been reported.
    pub(super) fn text<T>(
        &mut self,
        key: &KeyDoc,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let parsed = match self.find(key).map(Spanned::get_ref) {
            Some(DeValue::String(text)) => parse(text),
            Some(other) => {
                let found = other.type_str();
                self.wrong_type(key, found);
                return None;
            }
            None => match key.default {
                DefaultValue::Value(text) => parse(text),
                DefaultValue::Unset | DefaultValue::Follows(_) => return None,
                DefaultValue::Required => {
                    self.missing(key);
                    return None;
                }
            },
        };
        parsed.map_err(|why| self.refuse(key, why)).ok()
    }

    /// The value of a key that is a boolean; `None` if it has been reported.
    pub(super) fn boolean(&mut self, key: &KeyDoc) -> Option<bool> {
        match self.find(key).map(Spanned::get_ref) {
            Some(DeValue::Boolean(value)) => Some(*value),
            Some(other) => {
                let found = other.type_str();
                self.wrong_type(key, found);
                None
            }
            None => match key.default {
                DefaultValue::Value(text) => Some(text == "true"),
                DefaultValue::Unset | DefaultValue::Follows(_) => None,
                DefaultValue::Required => {
                    self.missing(key);
                    None
                }
            },
        }
    }

    /// The value of a key that is a whole number; `None` if it has been reported.
    pub(super) fn number(&mut self, key: &KeyDoc) -> Option<u64> {
        let parsed = match self.find(key).map(Spanned::get_ref) {
            Some(DeValue::Integer(value)) => {
                u64::from_str_radix(value.as_str(), value.radix()).map_err(|_| value.to_string())
            }
            Some(other) => {
                let found = other.type_str();
                self.wrong_type(key, found);
                return None;
            }
            None => match key.default {
                DefaultValue::Value(text) => text.parse().map_err(|_| text.to_owned()),
                DefaultValue::Unset | DefaultValue::Follows(_) => return None,
                DefaultValue::Required => {
                    self.missing(key);
                    return None;
                }
            },
        };
        let value = parsed.and_then(|value| match key.range {
            Range::Number(min, max) if !(min..=max).contains(&value) => Err(value.to_string()),
            _ => Ok(value),
        });
        value
            .map_err(|shown| self.refuse(key, format!("{shown} is out of range, {}", key.range)))
            .ok()
    }

    fn missing(&mut self, key: &KeyDoc) {
        // A section that is something else has been reported; its keys are not missing.
        let section = self.section(key.section());
        if section.is_none_or(|(_, section)| section.is_table()) {
            let problem = Problem::Missing(key.range.to_string());
            self.report(self.place(key), self.shown(key), problem);
        }
    }

    fn wrong_type(&mut self, key: &KeyDoc, found: &'static str) {
        let expected = match key.kind {
            Kind::Boolean => "true or false",
            Kind::Number => "a whole number",
            Kind::Duration => "a duration such as \"2s\"",
            Kind::Size => "a size such as \"16MiB\"",
            Kind::Fid => "a fid such as \"0x7200000000000001:0x4\"",
            Kind::Text | Kind::Choice | Kind::File | Kind::Directory => "a string",
            Kind::List => "an array of strings",
            Kind::Numbers => "an array of whole numbers",
            Kind::Table => "a table",
            Kind::Command => "an array of strings, or a string",
            Kind::Comparison => {
                "a string, a boolean, a whole number, or a table { operator, value }"
            }
        };
        let problem = Problem::WrongType {
            expected: expected.to_owned(),
            found,
        };
        self.report(self.place(key), self.shown(key), problem);
    }
}

/// Text from the file or from the TOML parser, fit for one line of a report.
fn one_line(text: &str) -> String {
    const SHOWN: usize = 200;
    text.chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
