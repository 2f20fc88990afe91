//! Values that can be written in more than one form.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::collections::wrong;
use super::{Reader, Scalar, one_line};
use crate::config::error::{Hint, Problem};
use crate::config::schema::{DefaultValue, KeyDoc};

/// A string, or an array of strings.
pub(in crate::config) enum Words {
    /// A string.
    One(String),
    /// An array.
    Many(Vec<String>),
}

impl Reader<'_> {
    /// A string or an array of strings; `None` if it is unset or has been reported. No error quotes it.
    pub(in crate::config) fn words(&mut self, key: &KeyDoc) -> Option<Words> {
        match self.find(key).map(Spanned::get_ref) {
            Some(DeValue::String(text)) => Some(Words::One(text.to_string())),
            Some(DeValue::Array(_)) => {
                let list = self.list(key, |text| Ok(text.to_owned()));
                list.map(Words::Many)
            }
            Some(other) => {
                let found = other.type_str();
                self.wrong_type(key, found);
                None
            }
            None => {
                if key.default == DefaultValue::Required {
                    self.missing(key);
                }
                None
            }
        }
    }

    /// A value with which something is compared, alone or as `{ operator, value }`; `None` if it is unset or
    /// has been reported.
    pub(in crate::config) fn comparison<T>(
        &mut self,
        key: &KeyDoc,
        parse: impl FnOnce(Option<&str>, Scalar<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let shown = self.shown(key);
        let value = self.find(key)?;
        let place = value.span().start;
        let mut wrongs = Vec::new();
        let (operator, operand) = match value.get_ref() {
            DeValue::Table(table) => {
                for (name, _) in table {
                    if !matches!(name.get_ref().as_ref(), "operator" | "value") {
                        let name = (name.span().start, one_line(name.get_ref()));
                        let hint = Hint::Known(vec!["operator", "value"]);
                        wrongs.push((
                            name.0,
                            format!("{shown}.{}", name.1),
                            Problem::UnknownKey(hint),
                        ));
                    }
                }
                let operator = table.get("operator");
                let text = operator.and_then(|operator| operator.get_ref().as_str());
                if let (Some(operator), None) = (operator, text) {
                    let problem = wrong("a string", operator.get_ref().type_str());
                    wrongs.push((operator.span().start, format!("{shown}.operator"), problem));
                }
                (text, table.get("value"))
            }
            _ => (None, Some(value)),
        };
        let parsed = match operand.map(|operand| (operand.span().start, operand.get_ref())) {
            None => {
                let problem = Problem::Invalid("needs a value: { operator, value }".to_owned());
                wrongs.push((place, shown, problem));
                None
            }
            Some((at, operand)) => match Scalar::of(operand) {
                Scalar::Other(found) => {
                    let problem = wrong("a string, a boolean or a whole number", found);
                    wrongs.push((at, shown, problem));
                    None
                }
                scalar => match parse(operator, scalar) {
                    Ok(value) => Some(value),
                    Err(why) => {
                        wrongs.push((at, shown, Problem::Invalid(why)));
                        None
                    }
                },
            },
        };
        let refused = !wrongs.is_empty();
        for (at, key, problem) in wrongs {
            self.report(at, key, problem);
        }
        parsed.filter(|_| !refused)
    }

    /// Where the tables of an array begin, in their order; of what is no array, where that is.
    pub(in crate::config) fn places(&self, section: &str) -> Vec<usize> {
        match self.section(section) {
            Some((_, DeValue::Array(elements))) => elements
                .iter()
                .map(|element| element.span().start)
                .collect(),
            Some((at, _)) => vec![at],
            None => Vec::new(),
        }
    }

    /// Shows every table of a section: the elements of an array of tables, or the only one.
    pub(in crate::config) fn tables(&self, section: &str, mut see: impl FnMut(&DeTable<'_>)) {
        match self.section(section) {
            Some((_, DeValue::Table(table))) => see(table),
            Some((_, DeValue::Array(elements))) => {
                let elements = elements.iter().map(Spanned::get_ref);
                elements.filter_map(DeValue::as_table).for_each(see);
            }
            _ => {}
        }
    }

    /// Reports that what begins there cannot stand.
    pub(in crate::config) fn refuse_at(&mut self, at: usize, section: &str, why: String) {
        self.report(at, section.to_owned(), Problem::Invalid(why));
    }
}
