//! What the files say, checked. `Debug` shows no secret: the environment of commands is not printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

use crate::plugin::{EventKind, Kind};

/// `[plugins]` of the main file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginsConfig {
    /// The directory of snippets.
    pub snippets: PathBuf,
    /// Whether a change in it is a reload.
    pub watch: bool,
    /// For what must survive the daemon, but not the machine.
    pub runtime_dir: PathBuf,
    /// Events that wait for one instance.
    pub queue_max: NonZeroUsize,
    /// How long an instance may take until it is ready.
    pub start_timeout: Duration,
    /// How long an instance may take to stop.
    pub stop_timeout: Duration,
    /// DRBD; none: it is not watched.
    pub drbd: Option<DrbdConfig>,
}

/// `[plugins.drbd]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrbdConfig {
    /// `drbdsetup`, an absolute path.
    pub drbdsetup: PathBuf,
    /// How often statistics are asked for; zero: never.
    pub statistics_interval: Duration,
}

/// One instance, by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginConfig {
    /// Logs events.
    Debugger,
    /// Runs commands.
    Umh(UmhConfig),
    /// Answers scrapes.
    Prometheus(PrometheusConfig),
}

impl PluginConfig {
    /// The word of the kind, as a snippet has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Debugger => "debugger",
            Self::Umh(_) => "umh",
            Self::Prometheus(_) => "prometheus",
        }
    }
}

/// `[[umh]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UmhConfig {
    /// Runs at once.
    pub concurrency: NonZeroUsize,
    /// Runs that wait.
    pub pending_max: usize,
    /// The rules, in the order of the file.
    pub rules: Vec<Rule>,
}

/// `[[umh.OBJECT]]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name; by default `OBJECT-N`, counted from 1.
    pub name: String,
    /// Of which objects.
    pub object: Kind,
    /// Of which events.
    pub events: BTreeSet<EventKind>,
    /// What the event must be; all of them.
    pub matchers: Vec<Matcher>,
    /// What is run.
    pub command: Commands,
    /// More of its environment; may hold secrets.
    pub env: BTreeMap<String, String>,
    /// How long it may run.
    pub timeout: Duration,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("object", &self.object)
            .field("events", &self.events)
            .field("matchers", &self.matchers)
            .field("env", &self.env.keys())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commands {
    /// A program, an absolute path, and its arguments.
    Program(Vec<String>),
    /// A line for `/bin/sh -c` (`shell = true`).
    Shell(String),
}

/// A test of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// Which state.
    pub state: State,
    /// The field; one of [`Kind::fields`].
    pub field: &'static str,
    /// What it must be.
    pub test: Test,
}

/// Which state of an event is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The state now; of `destroy` the one before.
    Current,
    /// The state before.
    Old,
    /// The state now.
    New,
}

/// What a field must be. A field that is not known is equal to nothing, and matches nothing.
#[derive(Debug, Clone)]
pub enum Test {
    /// This, as it is shown.
    Equals(String),
    /// Anything else; also when it is not known, but not when there is no such state.
    NotEquals(String),
    /// The expression, somewhere in it.
    Matches(Regex),
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Equals(a), Self::Equals(b)) | (Self::NotEquals(a), Self::NotEquals(b)) => a == b,
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Eq for Test {}

/// `[[prometheus]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections served at once.
    pub connections: NonZeroUsize,
    /// How long a request or a reply may take, and how long a connection may be idle.
    pub timeout: Duration,
    /// Whether states are also shown as a number each (`hax_drbd_…_state{state="…"} 1`).
    pub enums: bool,
}
