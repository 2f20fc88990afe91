//! The log: tracing events on standard error, as text or one JSON object per line.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` is set, and is not a list of directives.
    #[error("RUST_LOG: {0}")]
    Environment(#[source] tracing_subscriber::filter::ParseError),
    /// `RUST_LOG` is set, and is not text.
    #[error("RUST_LOG is not UTF-8 text")]
    EnvironmentNotText,
    /// `log.level` is not a list of directives.
    #[error("log.level: {0}")]
    Level(#[source] tracing_subscriber::filter::ParseError),
    /// The process has a subscriber already.
    #[error("the log is set up already: {0}")]
    Subscriber(#[source] TryInitError),
}

/// Starts the log of the whole process; `RUST_LOG`, if set and not empty, overrides
/// `log.level`.
///
/// # Errors
/// Directives that do not parse, or a second call in one process.
pub fn init(config: &LogConfig) -> Result<(), LoggingError> {
    let environment = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(directives) => Some(directives).filter(|text| !text.trim().is_empty()),
        Err(std::env::VarError::NotPresent) => None,
        Err(std::env::VarError::NotUnicode(_)) => return Err(LoggingError::EnvironmentNotText),
    };
    let filter = filter(config, environment.as_deref())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match config.format {
        // Colour codes would end up in the journal.
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    }
    .map_err(LoggingError::Subscriber)
}

fn filter(config: &LogConfig, environment: Option<&str>) -> Result<EnvFilter, LoggingError> {
    match environment {
        Some(directives) => EnvFilter::try_new(directives).map_err(LoggingError::Environment),
        None => EnvFilter::try_new(config.level.as_str()).map_err(LoggingError::Level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(format: &str, level: &str) -> LogConfig {
        let text = format!(
            "node.name = 'n'\nlog.format = '{format}'\nlog.level = '{level}'\n[ha]\n\
             endpoint = 'unix:/s'\nprocess = '0x7200000000000001:0'\n\
             ha_service = '0x7300000000000001:1'\nrm_service = '0x7300000000000001:2'\n"
        );
        Config::from_toml("test", &text).unwrap().log
    }

    #[test]
    fn the_environment_overrides_the_configuration() {
        let filter = |environment| {
            filter(&config("text", "warn,hax=debug"), environment)
                .unwrap()
                .to_string()
        };
        assert_eq!(filter(None), "hax=debug,warn");
        assert_eq!(filter(Some("error")), "error");
    }

    #[test]
    fn a_wrong_environment_is_an_error() {
        let error = filter(&config("text", "info"), Some("hax=loud")).unwrap_err();
        assert!(error.to_string().starts_with("RUST_LOG: "), "{error}");
    }

    #[test]
    fn a_second_start_is_an_error_not_a_panic() {
        // Whichever other test started it first, the last call here is not the first.
        let _ = init(&config("json", "off"));
        let error = init(&config("text", "off")).unwrap_err();
        assert!(matches!(error, LoggingError::Subscriber(_)), "{error}");
    }
}
