//! What a kind of file may hold, and what an unknown name in it was meant to be.

use super::error::Hint;
use super::schema::KeyDoc;

/// What stands here for a key of another program: by its section (empty: none) and its name, with underscores.
pub(super) type Answer = fn(&str, &str) -> Option<&'static str>;

/// The keys and sections of one kind of file.
pub(super) struct Schema {
    keys: Vec<KeyDoc>,
    /// Paths of all sections, nested ones too, without repetition.
    sections: Vec<&'static str>,
    arrays: Vec<&'static str>,
    /// Sections that are somebody else's to look into.
    opaque: &'static [&'static str],
    answer: Answer,
}

impl Schema {
    /// `arrays` are the sections that are arrays of tables.
    pub(super) fn new(keys: Vec<KeyDoc>, arrays: &[&'static str], answer: Answer) -> Self {
        let mut sections: Vec<_> = keys.iter().map(KeyDoc::section).collect();
        sections.dedup();
        Self {
            keys,
            sections,
            arrays: arrays.to_vec(),
            opaque: &[],
            answer,
        }
    }

    /// Adds arrays of tables without keys.
    pub(super) fn with_bare(mut self, names: &[&'static str]) -> Self {
        self.sections.extend(names);
        self.arrays.extend(names);
        self
    }

    /// Adds sections that may hold anything.
    pub(super) fn with_opaque(mut self, names: &'static [&'static str]) -> Self {
        self.sections.extend(names);
        self.opaque = names;
        self
    }

    pub(super) fn keys(&self) -> &[KeyDoc] {
        &self.keys
    }

    /// Whether a section has this key.
    pub(super) fn has_key(&self, section: &str, leaf: &str) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| key.leaf() == leaf && key.section() == section)
    }

    /// The section of this path.
    pub(super) fn section(&self, path: &str) -> Option<&'static str> {
        self.sections.iter().copied().find(|known| *known == path)
    }

    /// The section of this name that is nested in another one.
    pub(super) fn nested(&self, section: &str, name: &str) -> Option<&'static str> {
        self.section(&format!("{section}.{name}"))
    }

    /// Whether a section is an array of tables.
    pub(super) fn is_array(&self, section: &str) -> bool {
        self.arrays.contains(&section)
    }

    /// Whether a section may hold anything.
    pub(super) fn is_opaque(&self, section: &str) -> bool {
        self.opaque.contains(&section)
    }

    /// Names of the sections that are not nested.
    pub(super) fn top_sections(&self) -> impl Iterator<Item = &'static str> {
        let sections = self.sections.iter().copied();
        sections.filter(|section| !section.contains('.'))
    }

    /// What to write instead of an unknown key of a section; without one, of a name outside of all sections.
    pub(super) fn for_key(&self, section: Option<&str>, leaf: &str) -> Hint {
        if let Some(hint) = self.respelled(section, leaf) {
            return hint;
        }
        let nearest = self.nearest_key(section, leaf).map(Hint::DidYouMean);
        nearest.unwrap_or_else(|| {
            Hint::Known(match section {
                Some(section) => self.known_in(section).collect(),
                None => self.top_sections().collect(),
            })
        })
    }

    /// What to write instead of an unknown section that is not nested.
    pub(super) fn for_section(&self, name: &str) -> Hint {
        if let Some(hint) = self.respelled(None, name) {
            return hint;
        }
        let scored = self.top_sections();
        let nearest = best(scored.map(|known| (strsim::jaro_winkler(name, known), known)));
        nearest.map_or_else(
            || Hint::Known(self.top_sections().collect()),
            Hint::DidYouMean,
        )
    }

    fn respelled(&self, section: Option<&str>, leaf: &str) -> Option<Hint> {
        let plain = leaf.replace('-', "_");
        let section = section.unwrap_or_default();
        if let Some(words) = (self.answer)(section, &plain) {
            return Some(Hint::Instead(words));
        }
        let is_it = |path: &&str| path.strip_prefix(section) == Some(&format!(".{plain}"));
        let dashed = plain != leaf;
        let known = dashed.then(|| self.known_in(section).find(is_it));
        known.flatten().map(Hint::Underscores)
    }

    /// The known key, or section, that an unknown one was most likely meant to be.
    ///
    /// Keys of the same section win over equally similar ones of others.
    fn nearest_key(&self, section: Option<&str>, leaf: &str) -> Option<&'static str> {
        let score = |of: &str, known: &str| {
            let similarity = strsim::jaro_winkler(leaf, known);
            if section == Some(of) {
                similarity
            } else {
                similarity * 0.95
            }
        };
        let keys = self.keys.iter();
        let keys = keys.map(|key| (score(key.section(), key.leaf()), key.path));
        let nested = self.sections.iter().filter_map(|path| {
            let (of, name) = path.rsplit_once('.')?;
            Some((score(of, name), *path))
        });
        best(keys.chain(nested))
    }

    /// What may be written in a section: its keys, then the sections nested in it.
    fn known_in(&self, section: &str) -> impl Iterator<Item = &'static str> {
        let keys = self.keys.iter();
        let keys = keys
            .filter(move |key| key.section() == section)
            .map(|key| key.path);
        let sections = self.sections.iter().copied();
        let nested =
            sections.filter(move |path| path.rsplit_once('.').is_some_and(|(of, _)| of == section));
        keys.chain(nested)
    }
}

/// The best candidate, the first of equal ones, if it is similar enough to be worth saying.
fn best(scored: impl Iterator<Item = (f64, &'static str)>) -> Option<&'static str> {
    const SIMILAR: f64 = 0.8;
    scored
        .filter(|(score, _)| *score >= SIMILAR)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, name)| name)
}
