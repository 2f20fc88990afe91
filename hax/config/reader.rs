//! The raw stage: a TOML document with places, and typed access that notes every error.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Found, Hint, Problem};
use super::schema::{DefaultValue, KeyDoc, Kind, Range, reference, sections};

/// A parsed document and the errors found in it so far.
pub(super) struct Reader<'a> {
    root: DeTable<'a>,
    errors: Vec<Found>,
}

impl<'a> Reader<'a> {
    /// Parses the text. Errors of syntax are reported alone, because what follows one is a guess.
    pub(super) fn parse(text: &'a str) -> Result<Self, Vec<Found>> {
        let (root, syntax) = DeTable::parse_recoverable(text);
        if syntax.is_empty() {
            let mut reader = Self {
                root: root.into_inner(),
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

    /// Reports every name that is not in the schema, and sections that are not tables.
    fn check_names(&mut self) {
        let mut found = Vec::new();
        for (name, value) in &self.root {
            let (section, at) = (name.get_ref().as_ref(), name.span().start);
            let known = sections().any(|known| known == section);
            match value.get_ref().as_table() {
                None if known => {
                    let kind = value.get_ref().type_str();
                    let expected = format!("a table, [{section}]");
                    let problem = Problem::WrongType {
                        expected,
                        found: kind,
                    };
                    found.push((at, section.to_owned(), problem));
                }
                None => {
                    let problem = Problem::UnknownKey(match Hint::for_key(None, section) {
                        Hint::Known(_) => Hint::Known(sections().collect()),
                        hint => hint,
                    });
                    found.push((at, one_line(section), problem));
                }
                Some(_) if !known => {
                    let hint = Hint::for_section(section);
                    found.push((
                        at,
                        format!("[{}]", one_line(section)),
                        Problem::UnknownSection(hint),
                    ));
                }
                Some(table) => {
                    for leaf in table.keys() {
                        let name = leaf.get_ref().as_ref();
                        let is_it = |key: &KeyDoc| key.section() == section && key.leaf() == name;
                        if !reference().iter().any(is_it) {
                            let hint = Hint::for_key(Some(section), name);
                            let path = format!("{section}.{}", one_line(name));
                            found.push((leaf.span().start, path, Problem::UnknownKey(hint)));
                        }
                    }
                }
            }
        }
        for (at, key, problem) in found {
            self.report(at, key, problem);
        }
    }

    fn report(&mut self, at: usize, key: String, problem: Problem) {
        self.errors.push(Found {
            at,
            key: Some(key),
            problem,
        });
    }

    fn find(&self, key: &KeyDoc) -> Option<&Spanned<DeValue<'a>>> {
        self.root
            .get(key.section())?
            .get_ref()
            .as_table()?
            .get(key.leaf())
    }

    /// Where a key is written, or where it would have been.
    fn place(&self, key: &KeyDoc) -> usize {
        self.find(key)
            .map(|value| value.span().start)
            .unwrap_or_else(|| {
                let section = self.root.get_key_value(key.section());
                section.map_or(0, |(name, _)| name.span().start)
            })
    }

    /// Reports that a key's value cannot stand.
    pub(super) fn refuse(&mut self, key: &KeyDoc, why: String) {
        self.report(self.place(key), key.path.to_owned(), Problem::Invalid(why));
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
                DefaultValue::Unset => return None,
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
                DefaultValue::Unset => None,
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
                DefaultValue::Unset => return None,
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
        let section = self.root.get(key.section()).map(Spanned::get_ref);
        if section.is_none_or(DeValue::is_table) {
            let problem = Problem::Missing(key.range.to_string());
            self.report(self.place(key), key.path.to_owned(), problem);
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
        };
        let problem = Problem::WrongType {
            expected: expected.to_owned(),
            found,
        };
        self.report(self.place(key), key.path.to_owned(), problem);
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
