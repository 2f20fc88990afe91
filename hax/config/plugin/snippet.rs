//! One snippet: a file with one table of one kind.

use toml::de::{DeTable, DeValue};

use super::model::PluginConfig;
use super::snippet_schema::{self as keys, KINDS, SNIPPET};
use super::{prometheus, umh};
use crate::config::error::{ConfigErrors, Found, Position, Problem};
use crate::config::reader::Reader;
use crate::plugin::InstanceName;

/// Bytes of a snippet at most.
pub const SNIPPET_MAX: u64 = 256 * 1024;

/// A snippet that is right by itself.
pub(super) struct Snippet {
    pub(super) config: PluginConfig,
    /// Where the address of `prometheus` is written, or would have been.
    pub(super) address_at: Position,
}

/// Validates the text of a snippet as that of the instance `name`; for an editor. What only several snippets
/// together can get wrong is not looked at.
///
/// # Errors
/// Everything that is wrong with it, at once. No error shows a command, or a value of an environment.
pub fn check_snippet(name: &str, text: &str) -> Result<PluginConfig, ConfigErrors> {
    let file = format!("{name}.toml");
    if let Err(why) = InstanceName::new(name) {
        let problem = Problem::Invalid(format!("the name of the instance {why}"));
        return Err(ConfigErrors::of_file(&file, None, problem));
    }
    if text.len() as u64 > SNIPPET_MAX {
        let problem = Problem::TooLarge { limit: SNIPPET_MAX };
        return Err(ConfigErrors::of_file(&file, None, problem));
    }
    check(&file, text).map(|snippet| snippet.config)
}

/// Validates a text; `file` is its name in errors.
pub(super) fn check(file: &str, text: &str) -> Result<Snippet, ConfigErrors> {
    read(text).map_err(|found| ConfigErrors::locate(file, text, found))
}

fn read(text: &str) -> Result<Snippet, Vec<Found>> {
    let mut reader = Reader::parse(text, &SNIPPET)?;
    let read = instance(&mut reader);
    let address_at = Position::of(text, reader.place(&keys::ADDRESS));
    let mut errors = reader.into_errors();
    if read.is_none() && errors.is_empty() {
        let why = "there is no plugin in it; a snippet holds one table: [[debugger]], [[umh]], [[prometheus]] or \
                   [[promoter]]";
        errors.push(Found {
            at: 0,
            key: None,
            problem: Problem::Invalid(why.to_owned()),
        });
    }
    match read {
        Some(config) if errors.is_empty() => Ok(Snippet { config, address_at }),
        _ => Err(errors),
    }
}

/// Reads the only table. What is wrong with its names has been reported.
fn instance(r: &mut Reader<'_>) -> Option<PluginConfig> {
    let mut tables: Vec<_> = KINDS
        .iter()
        .flat_map(|kind| r.places(kind).into_iter().map(move |at| (at, *kind)))
        .collect();
    tables.sort_unstable();
    let (at, kind) = *tables.first()?;
    for (at, other) in tables.iter().skip(1) {
        let why = "a snippet is one instance; move this one into a file of its own".to_owned();
        r.refuse_at(*at, other, why);
    }
    match kind {
        "debugger" => r.enter("debugger", 0).then_some(PluginConfig::Debugger),
        "umh" if r.enter("umh", 0) => umh::read(r, at).map(PluginConfig::Umh),
        "prometheus" if r.enter("prometheus", 0) => {
            prometheus::read(r).map(PluginConfig::Prometheus)
        }
        "promoter" => {
            promoter(r, at);
            None
        }
        _ => None,
    }
}

/// Says what would have to be changed in any case.
fn promoter(r: &mut Reader<'_>, at: usize) {
    let why = "not available yet; rename the file to NAME.toml.disabled".to_owned();
    r.refuse_at(at, "promoter", why);
    let mut dashed = Vec::new();
    r.tables("promoter", |table| dashes(table, true, &mut dashed));
    for (at, name) in dashed {
        let why = format!("dashes are underscores here: {}", name.replace('-', "_"));
        r.refuse_at(at, &format!("promoter.{name}"), why);
    }
}

/// The keys with dashes of the table, and of its resources, whose own names may have them.
fn dashes(table: &DeTable<'_>, is_top: bool, found: &mut Vec<(usize, String)>) {
    for (name, value) in table {
        let (text, at) = (name.get_ref().as_ref(), name.span().start);
        match value.get_ref() {
            DeValue::Table(resources) if is_top && text == "resources" => {
                let each = resources.iter().map(|(_, resource)| resource.get_ref());
                for resource in each.filter_map(DeValue::as_table) {
                    dashes(resource, false, found);
                }
            }
            // A key of ours has no other characters; what has is not quoted.
            _ if text.contains('-') && text.chars().all(|c| c.is_ascii_lowercase() || c == '-') => {
                found.push((at, text.to_owned()));
            }
            _ => {}
        }
    }
}
