//! Directories and durations, from the options and the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::options::Options;

/// Where things are, and how long they last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) request_dir: PathBuf,
    pub(super) response_dir: PathBuf,
    pub(super) log_dir: PathBuf,
    /// How long a response is waited for.
    pub(super) timeout: Duration,
    /// How often it is looked for, at least.
    pub(super) poll: Duration,
    /// After this long responses and left-overs are removed.
    pub(super) max_age: Duration,
    /// This node, as the kernel names it.
    pub(super) me: String,
}

impl Settings {
    pub(super) fn new(
        options: &Options,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, String> {
        let timeout = match &options.fence_timeout {
            Some(text) => seconds("fence_timeout", text, 1.0)?,
            None => from_env(env, "FENCE_TIMEOUT", 60.0, 1.0)?,
        };
        let dir = |what: &str, given: &Option<PathBuf>, default: &str| {
            let dir = given.clone().unwrap_or_else(|| PathBuf::from(default));
            absolute(what, &dir).map(|()| dir)
        };
        let me = rustix::system::uname();
        let me = me.nodename().to_string_lossy().into_owned();
        Ok(Self {
            request_dir: dir(
                "request-dir",
                &options.request_dir,
                "/var/run/fence_recorder/requests",
            )?,
            response_dir: dir(
                "response-dir",
                &options.response_dir,
                "/var/run/fence_recorder/responses",
            )?,
            log_dir: dir("log-dir", &options.log_dir, "/var/log/cluster")?,
            timeout,
            poll: from_env(env, "POLL_INTERVAL", 0.5, 0.01)?,
            max_age: from_env(env, "CLEANUP_MAX_AGE", 300.0, 1.0)?,
            me,
        })
    }
}

fn absolute(what: &str, dir: &Path) -> Result<(), String> {
    if dir.is_absolute() {
        return Ok(());
    }
    Err(format!("{what}: {} is not an absolute path", dir.display()))
}

fn from_env(
    env: &dyn Fn(&str) -> Option<OsString>,
    name: &str,
    default: f64,
    min: f64,
) -> Result<Duration, String> {
    match env(name) {
        None => Ok(Duration::from_secs_f64(default)),
        Some(text) => seconds(name, &text.to_string_lossy(), min),
    }
}

fn seconds(name: &str, text: &str, min: f64) -> Result<Duration, String> {
    let value = text.trim().parse::<f64>().ok();
    let value = value.filter(|value| (min..=86_400.0).contains(value));
    value
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("{name}: {text:?} is not a number of seconds from {min} to 86400"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_by_name() {
        for good in ["1", "60", " 90 ", "1.5", "86400"] {
            assert!(seconds("FENCE_TIMEOUT", good, 1.0).is_ok(), "{good}");
        }
        for bad in ["", "0", "-3", "abc", "1s", "inf", "nan", "1e9", "0x10"] {
            let error = seconds("FENCE_TIMEOUT", bad, 1.0).unwrap_err();
            assert!(error.starts_with("FENCE_TIMEOUT"), "{error}");
        }
        assert!(absolute("log-dir", Path::new("a/b")).is_err());
    }
}
