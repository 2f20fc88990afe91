//! The words of a line, each with its place in it.

use super::ScriptError;
use crate::sim::wire::NOTES_MAX;

/// What is left of a line, and which one it is.
pub(super) struct Words<'a> {
    line: usize,
    text: &'a str,
    at: usize,
}

/// A word, after its offset in bytes.
type Word<'a> = (usize, &'a str);

impl<'a> Words<'a> {
    pub(super) fn new(line: usize, text: &'a str) -> Self {
        Self { line, text, at: 0 }
    }

    /// Next word and its offset.
    pub(super) fn next_word(&mut self) -> Option<Word<'a>> {
        let rest = &self.text[self.at..];
        let start = self.at + (rest.len() - rest.trim_start().len());
        let word = self.text[start..]
            .split(char::is_whitespace)
            .next()
            .unwrap_or("");
        if word.is_empty() || word.starts_with('#') {
            self.at = self.text.len();
            return None;
        }
        self.at = start + word.len();
        Some((start, word))
    }

    /// All words that are left, as they are written.
    pub(super) fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim();
        self.at = self.text.len();
        rest
    }

    /// Offset after the last word.
    pub(super) fn end(&self) -> usize {
        self.text.trim_end().len()
    }

    /// What is wrong at this offset.
    pub(super) fn error(&self, at: usize, reason: String) -> ScriptError {
        let column = self
            .text
            .get(..at)
            .map_or(at, |before| before.chars().count())
            + 1;
        ScriptError {
            line: self.line,
            column,
            reason,
        }
    }

    /// A word that must be there and be read by `read`.
    pub(super) fn want<T>(
        &mut self,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ScriptError> {
        match self.next_word() {
            Some(word) => self.read(word, what, read),
            None => Err(self.error(self.end(), format!("{what} is missing"))),
        }
    }

    /// A word that may be left out.
    pub(super) fn maybe<T>(
        &mut self,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ScriptError> {
        self.next_word()
            .map(|word| self.read(word, what, read))
            .transpose()
    }

    fn read<T>(
        &self,
        (at, word): Word<'_>,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ScriptError> {
        read(word).ok_or_else(|| self.error(at, format!("{word:?} is no {what}")))
    }

    /// One or more.
    pub(super) fn list<T>(
        &mut self,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ScriptError> {
        let mut list = vec![self.want(what, &read)?];
        while let Some(word) = self.next_word() {
            if list.len() == NOTES_MAX {
                return Err(self.error(word.0, format!("more than {NOTES_MAX}")));
            }
            list.push(self.read(word, what, &read)?);
        }
        Ok(list)
    }
}
