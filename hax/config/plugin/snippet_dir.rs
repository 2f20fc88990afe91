//! The directory of snippets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::model::PluginConfig;
use super::prometheus::collide;
use super::snippet::{SNIPPET_MAX, Snippet, check};
use crate::config::error::{ConfigError, ConfigErrors, Position, Problem};
use crate::plugin::InstanceName;

/// Snippets of a directory at most.
pub const SNIPPETS_MAX: usize = 256;

/// The end of a snippet's name.
const SUFFIX: &str = ".toml";

/// Reads all snippets of a directory. Blocks on the file system.
///
/// Files that do not end in `.toml`, and those that begin with `.`, are none.
///
/// # Errors
/// Everything that is wrong with all of them, at once; also a directory that cannot be read, and what two
/// snippets cannot both have. No error shows a command, or a value of an environment.
pub fn load_snippets(dir: &Path) -> Result<BTreeMap<InstanceName, PluginConfig>, ConfigErrors> {
    let mut snippets = BTreeMap::new();
    let mut errors = Vec::new();
    for (path, name) in names(dir)? {
        match load(&path, &name) {
            Ok(Some((name, snippet))) => {
                snippets.insert(name, (path, snippet));
            }
            Ok(None) => {}
            Err(found) => errors.push(found),
        }
    }
    errors.extend(shared(&snippets));
    match ConfigErrors::merge(errors) {
        Some(errors) => Err(errors),
        None => {
            let configs = snippets.into_iter();
            Ok(configs
                .map(|(name, (_, snippet))| (name, snippet.config))
                .collect())
        }
    }
}

/// The snippets in the order of their names.
fn names(dir: &Path) -> Result<Vec<(PathBuf, OsString)>, ConfigErrors> {
    let unreadable = |error: io::Error| {
        let problem = Problem::Unreadable(error.to_string());
        ConfigErrors::of_file(&dir.display().to_string(), None, problem)
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b".") || !bytes.ends_with(SUFFIX.as_bytes()) {
            continue;
        }
        if names.len() == SNIPPETS_MAX {
            let why = format!("has more than {SNIPPETS_MAX} snippets");
            let file = dir.display().to_string();
            return Err(ConfigErrors::of_file(&file, None, Problem::Invalid(why)));
        }
        names.push((dir.join(&name), name));
    }
    names.sort();
    Ok(names)
}

/// One snippet; `None` if it has gone since the directory was read.
fn load(path: &Path, name: &OsString) -> Result<Option<(InstanceName, Snippet)>, ConfigErrors> {
    // Names may have any character; a report has lines.
    let file: String = path.display().to_string();
    let file: String = file
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let whole = |problem| ConfigErrors::of_file(&file, None, problem);
    let stem = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
    let instance = stem.map_or(Err("is not UTF-8"), InstanceName::new);
    let instance = instance
        .map_err(|why| whole(Problem::Invalid(format!("the name of the instance {why}"))))?;
    let bytes = match read(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(whole(Problem::Invalid("is not a regular file".to_owned()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(None);
        }
        Err(error) => return Err(whole(Problem::Unreadable(error.to_string()))),
    };
    if bytes.len() as u64 > SNIPPET_MAX {
        return Err(whole(Problem::TooLarge { limit: SNIPPET_MAX }));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => check(&file, text).map(|snippet| Some((instance, snippet))),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let valid = String::from_utf8_lossy(valid);
            let position = Position::of(&valid, valid.len());
            let problem = Problem::NotUtf8;
            Err(ConfigErrors::of_file(&file, Some(position), problem))
        }
    }
}

/// The bytes, one more than allowed at most; `None` if it is no regular file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // A FIFO without a writer would never be opened.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(SNIPPET_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// What two snippets cannot both have: each error names both files.
fn shared(snippets: &BTreeMap<InstanceName, (PathBuf, Snippet)>) -> Vec<ConfigErrors> {
    let mut seen: Vec<(&Path, SocketAddr)> = Vec::new();
    let mut errors = Vec::new();
    for (path, snippet) in snippets.values() {
        let PluginConfig::Prometheus(config) = &snippet.config else {
            continue;
        };
        let address = config.address;
        if let Some((first, other)) = seen.iter().find(|(_, other)| collide(&address, other)) {
            let why = format!(
                "{address} cannot be listened on: {} has {other}; give each its own address",
                first.display()
            );
            let error = ConfigError {
                file: path.display().to_string(),
                position: Some(snippet.address_at),
                key: Some("prometheus.address".to_owned()),
                problem: Problem::Invalid(why),
            };
            errors.push(ConfigErrors::of(error));
        }
        seen.push((path, address));
    }
    errors
}
