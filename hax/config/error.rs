//! What is wrong with a configuration: everything at once, each with its place.

use std::fmt;

/// Most errors kept; a file with more is not a configuration.
const ERRORS_MAX: usize = 100;

/// A place in the file, counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Character of the line.
    pub column: usize,
}

impl Position {
    /// The place of a byte offset; an offset past the end is the end.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.bytes().filter(|&byte| byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// An error of a text, before its place has been looked up.
pub(super) struct Found {
    /// Byte offset.
    pub(super) at: usize,
    pub(super) key: Option<String>,
    pub(super) problem: Problem,
}

/// One error. Its text never contains a secret: values are quoted only where the key
/// cannot hold one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named to us.
    pub file: String,
    /// Where in it, unless the file as a whole is the problem.
    pub position: Option<Position>,
    /// `section.key`, if the error belongs to one.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file could not be read.
    #[error("cannot read the configuration: {0}")]
    Unreadable(String),
    /// The file is larger than a configuration can be.
    #[error("the file is larger than {limit} bytes; is it the configuration?")]
    TooLarge {
        /// Bytes accepted.
        limit: u64,
    },
    /// The file is not text.
    #[error("the file is not UTF-8 text from here on")]
    NotUtf8,
    /// The file is not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A key that does not exist; its value is never shown.
    #[error("unknown key; {0}")]
    UnknownKey(Hint),
    /// A table that does not exist.
    #[error("unknown section; {0}")]
    UnknownSection(Hint),
    /// A required key is absent.
    #[error("required, but not given; it is {0}")]
    Missing(String),
    /// A value of another TOML type.
    #[error("expected {expected}, got {article} {found}", article = article(found))]
    WrongType {
        /// What is written there.
        expected: String,
        /// TOML's name of the type found.
        found: &'static str,
    },
    /// A value that is refused, and why.
    #[error("{0}")]
    Invalid(String),
}

/// What to write instead of an unknown name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// This one was meant, most likely.
    DidYouMean(&'static str),
    /// None is similar: these exist.
    Known(Vec<&'static str>),
    /// This one, spelled with underscores.
    Underscores(&'static str),
    /// What stands here for a key of another program, in words.
    Instead(&'static str),
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DidYouMean(name) => write!(f, "did you mean {name}?"),
            Self::Known(names) if names.is_empty() => f.write_str("there are no keys here"),
            Self::Known(names) => write!(f, "known here: {}", names.join(", ")),
            Self::Underscores(name) => write!(f, "dashes are underscores here: {name}"),
            Self::Instead(words) => f.write_str(words),
        }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

/// All errors of a configuration, in the order of the file. Displayed one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    /// Errors found beyond those kept.
    omitted: usize,
}

impl ConfigErrors {
    /// One error of the file as a whole.
    pub(super) fn of_file(file: &str, position: Option<Position>, problem: Problem) -> Self {
        Self::of(ConfigError {
            file: file.to_owned(),
            position,
            key: None,
            problem,
        })
    }

    /// One error.
    pub(super) fn of(error: ConfigError) -> Self {
        Self {
            errors: vec![error],
            omitted: 0,
        }
    }

    /// The first errors found in a text, with their places.
    pub(super) fn locate(file: &str, text: &str, mut found: Vec<Found>) -> Self {
        found.sort_by_key(|error| error.at);
        let omitted = found.len().saturating_sub(ERRORS_MAX);
        let locate = |Found { at, key, problem }| ConfigError {
            file: file.to_owned(),
            position: Some(Position::of(text, at)),
            key,
            problem,
        };
        let errors = found.into_iter().take(ERRORS_MAX).map(locate).collect();
        Self { errors, omitted }
    }

    /// All errors of several files; `None` if there is none.
    pub(super) fn merge(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut all = all.into_iter();
        let mut merged = all.next()?;
        for next in all {
            merged.omitted += next.omitted;
            for error in next.errors {
                if merged.errors.len() < ERRORS_MAX {
                    merged.errors.push(error);
                } else {
                    merged.omitted += 1;
                }
            }
        }
        Some(merged)
    }

    /// The errors, in the order of the file; at most 100.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nr, error) in self.errors.iter().enumerate() {
            if nr > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n… and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
