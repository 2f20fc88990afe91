//! Strict reading of TOML: every value has a place, and every error is noted.

use std::cell::RefCell;
use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A document being read, and what has been found wrong with it.
pub(super) struct Document<'a> {
    name: &'a str,
    text: &'a str,
    problems: RefCell<Vec<(usize, String)>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        Self {
            name,
            text,
            problems: RefCell::default(),
        }
    }

    /// Parses the text. Errors of syntax are reported alone: what follows one is a guess.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.refuse(error.span().map_or(0, |span| span.start), error.message());
        }
        errors.is_empty().then_some(table)
    }

    /// Notes that what is written at a byte offset cannot stand.
    pub(super) fn refuse(&self, at: usize, why: impl Display) {
        self.problems.borrow_mut().push((at, why.to_string()));
    }

    /// The line of a byte offset, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        let end = at.min(self.text.len());
        self.text.as_bytes()[..end]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            + 1
    }

    /// Everything noted, in the order of the document.
    pub(super) fn into_problems(self) -> Vec<String> {
        let mut problems = self.problems.take();
        problems.sort_by_key(|(at, _)| *at);
        let report =
            |(at, why): &(usize, String)| format!("{}:{}: {why}", self.name, self.line(*at));
        problems.iter().map(report).collect()
    }
}

/// A value and its byte offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// One table. The keys asked for are the ones it may have: [`Table::finish`] refuses the
/// others.
pub(super) struct Table<'d, 'a> {
    pub(super) document: &'d Document<'a>,
    table: &'d DeTable<'a>,
    /// Where it begins.
    pub(super) at: usize,
    path: String,
    asked: RefCell<Vec<&'static str>>,
}

impl<'d, 'a> Table<'d, 'a> {
    pub(super) fn root(document: &'d Document<'a>, table: &'d Spanned<DeTable<'a>>) -> Self {
        Self::new(document, table.get_ref(), 0, String::new())
    }

    fn new(document: &'d Document<'a>, table: &'d DeTable<'a>, at: usize, path: String) -> Self {
        Self {
            document,
            table,
            at,
            path,
            asked: RefCell::default(),
        }
    }

    fn get(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// The key as messages name it.
    fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(super) fn refuse(&self, at: usize, key: &str, why: impl Display) {
        self.document
            .refuse(at, format!("{}: {why}", self.name(key)));
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'a>>, wanted: &str) {
        let found = value.get_ref().type_str();
        self.refuse(
            value.span().start,
            key,
            format!("{wanted} is wanted here, not a value of type {found}"),
        );
    }

    /// Notes that a key has to be there.
    fn missing(&self, key: &str) {
        self.refuse(self.at, key, "required, but not given");
    }

    /// A parsed string or integer, if the key is given and can be parsed.
    fn scalar<T>(
        &self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(Scalar<'_>) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        let value = self.get(key)?;
        let at = value.span().start;
        let scalar = match value.get_ref() {
            DeValue::String(text) => Scalar::Text(text),
            DeValue::Integer(number) => {
                Scalar::Number(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            _ => {
                self.wrong_type(key, value, wanted);
                return None;
            }
        };
        match parse(scalar) {
            Ok(value) => Some(Placed { value, at }),
            Err(why) if why.is_empty() => {
                self.wrong_type(key, value, wanted);
                None
            }
            Err(why) => {
                self.refuse(at, key, why);
                None
            }
        }
    }

    /// A string, if given.
    pub(super) fn text<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        self.scalar(key, "a string", |scalar| match scalar {
            Scalar::Text(text) => parse(text),
            Scalar::Number(_) => Err(String::new()),
        })
    }

    /// A string that has to be given.
    pub(super) fn required_text<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        let value = self.text(key, parse);
        self.require(key);
        value
    }

    /// A port, if given.
    pub(super) fn port(&self, key: &'static str) -> Option<Placed<u16>> {
        self.scalar(key, "a port", |scalar| match scalar {
            Scalar::Number(number) => port(number),
            Scalar::Text(_) => Err(String::new()),
        })
    }

    /// A string or a port, which has to be given.
    pub(super) fn required_text_or_port<T>(
        &self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(Result<&str, u16>) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        let value = self.scalar(key, wanted, |scalar| match scalar {
            Scalar::Text(text) => parse(Ok(text)),
            Scalar::Number(number) => parse(Err(port(number)?)),
        });
        self.require(key);
        value
    }

    fn require(&self, key: &'static str) {
        if !self.table.contains_key(key) {
            self.missing(key);
        }
    }

    /// A list of strings; empty if not given.
    pub(super) fn texts<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<Placed<T>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "a list of strings");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            let at = item.span().start;
            match item.get_ref() {
                DeValue::String(text) => match parse(text) {
                    Ok(value) => texts.push(Placed { value, at }),
                    Err(why) => self.refuse(at, key, why),
                },
                _ => self.wrong_type(key, item, "a string"),
            }
        }
        texts
    }

    /// A table inside this one, if given.
    pub(super) fn table(&self, key: &'static str) -> Option<Table<'d, 'a>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Table::new(
                self.document,
                table,
                value.span().start,
                self.name(key),
            )),
            _ => {
                self.wrong_type(key, value, "a table");
                None
            }
        }
    }

    /// A table inside this one that has to be given.
    pub(super) fn required_table(&self, key: &'static str) -> Option<Table<'d, 'a>> {
        let table = self.table(key);
        self.require(key);
        table
    }

    /// A list of tables inside this one; empty if not given.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Table<'d, 'a>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(
                key,
                value,
                &format!("a list of tables, [[{}]],", self.name(key)),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (nr, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let path = format!("{}[{}]", self.name(key), nr + 1);
                    tables.push(Table::new(self.document, table, item.span().start, path));
                }
                _ => self.wrong_type(key, item, "a table"),
            }
        }
        tables
    }

    /// Refuses the keys nobody asked for.
    pub(super) fn finish(self) {
        let known = self.asked.borrow();
        for key in self.table.keys() {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            if known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, &known) {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.refuse(
                at,
                &format!("{name:.60}").escape_debug().to_string(),
                format!("unknown key; {hint}"),
            );
        }
    }
}

enum Scalar<'s> {
    Text(&'s str),
    /// `None` if it is beyond 64 bits.
    Number(Option<i64>),
}

fn port(number: Option<i64>) -> Result<u16, String> {
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

/// The known name that `name` most likely misspells.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let distances = known.iter().map(|known| (distance(name, known), *known));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < nearest.len()).then_some(nearest)
}

/// Levenshtein distance; names beyond 60 characters are far from everything.
fn distance(a: &str, b: &str) -> usize {
    const LONG: usize = 60;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONG || b.len() > LONG {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_find_their_neighbour() {
        let known = ["endpoint", "pattern", "http"];
        assert_eq!(nearest("endpont", &known), Some("endpoint"));
        assert_eq!(nearest("patern", &known), Some("pattern"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("x", &["y"]), None);
    }
}
