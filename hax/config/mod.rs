//! The configuration: strict TOML, read in two stages.
//!
//! The raw stage keeps where every value is written; the second builds a [`Config`] that
//! cannot hold a wrong value. All errors are reported at once, each with file, line,
//! column and key. An unknown key is an error, and is answered with the nearest known one.
//! [`reference`] lists every key, from the same definition the parser uses.

mod build;
mod error;
pub mod fence;
mod known;
mod model;
pub mod plugin;
mod reader;
mod schema;
mod value;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use error::{ConfigError, ConfigErrors, Hint, Position, Problem};
pub use model::{
    ClientCertificate, Config, ConsulAddress, ConsulConfig, Endpoint, EntrypointConfig,
    FatalMessage, HaConfig, HttpConfig, KvConfig, LeaderConfig, LogConfig, LogDirectives,
    LogFormat, NodeConfig, Profile, RetryConfig, SecretFile,
};
pub use schema::{DefaultValue, KeyDoc, Kind, Range, reference, reference_table};
pub(crate) use value::duration;

/// Bytes of a configuration file at most.
const FILE_MAX: u64 = 1 << 20;

impl Config {
    /// Reads and validates a file. Blocks on the file system.
    ///
    /// # Errors
    /// Everything that is wrong with the file, at once.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => Self::from_bytes(&file, &bytes),
            Err(error) => Err(ConfigErrors::of_file(
                &file,
                None,
                Problem::Unreadable(error.to_string()),
            )),
        }
    }

    /// Validates the bytes of a file; `file` is its name in errors.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<Self, ConfigErrors> {
        if bytes.len() as u64 > FILE_MAX {
            return Err(ConfigErrors::of_file(
                file,
                None,
                Problem::TooLarge { limit: FILE_MAX },
            ));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::from_toml(file, text),
            Err(error) => {
                let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let position = Position::of(&valid, valid.len());
                Err(ConfigErrors::of_file(
                    file,
                    Some(position),
                    Problem::NotUtf8,
                ))
            }
        }
    }

    /// Validates TOML text; `file` is its name in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        build::config(text).map_err(|found| ConfigErrors::locate(file, text, found))
    }
}
