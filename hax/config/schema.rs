//! The one definition of every key: what the parser reads, what a misspelt key is
//! compared with, and what the reference prints.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use super::known::Schema;
use super::{fence, plugin};

/// One configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDoc {
    /// `section.key`; a section may be nested: `fence.device.name`.
    pub path: &'static str,
    /// What is written there.
    pub kind: Kind,
    /// What applies when the key is absent.
    pub default: DefaultValue,
    /// Which values are accepted.
    pub range: Range,
    /// Meaning, in one sentence.
    pub doc: &'static str,
}

impl KeyDoc {
    /// Name of the table the key is in.
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// Name of the key within its table.
    pub fn leaf(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_, leaf)| leaf)
    }
}

/// What is written as a key's value. All but `Boolean`, `Number`, `List`, `Numbers`, `Table`,
/// `Command` and `Comparison` are TOML strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Free text, checked by its own rule.
    Text,
    /// `true` or `false`.
    Boolean,
    /// One of a few words.
    Choice,
    /// A whole number.
    Number,
    /// A number with `ms`, `s`, `m` or `h`.
    Duration,
    /// A number with `B`, `KiB`, `MiB` or `GiB`.
    Size,
    /// `0x7200000000000001:0x4`.
    Fid,
    /// Path of a file.
    File,
    /// Path of a directory.
    Directory,
    /// An array of strings.
    List,
    /// An array of whole numbers.
    Numbers,
    /// A table whose keys are names of the operator's choice.
    Table,
    /// An array of strings, or a string.
    Command,
    /// A string, a boolean, a whole number, or a table with `operator` and `value`.
    Comparison,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "string",
            Self::Boolean => "boolean",
            Self::Choice => "choice",
            Self::Number => "number",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Fid => "fid",
            Self::File => "file",
            Self::Directory => "directory",
            Self::List => "list of strings",
            Self::Numbers => "list of numbers",
            Self::Table => "table",
            Self::Command => "list of strings, or string",
            Self::Comparison => "value, or table",
        })
    }
}

/// What applies when a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// The key must be given.
    Required,
    /// Nothing: the feature is off.
    Unset,
    /// What follows from other keys, in words.
    Follows(&'static str),
    /// This value, read by the same parser as one that is written.
    Value(&'static str),
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::Unset => "none",
            Self::Follows(words) => words,
            Self::Value(text) => text,
        })
    }
}

/// Which values a key accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// A rule in words.
    Rule(&'static str),
    /// These words only.
    OneOf(&'static [&'static str]),
    /// Both ends included.
    Number(u64, u64),
    /// Both ends included.
    Duration(Duration, Duration),
    /// Bytes, both ends included.
    Size(u64, u64),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => f.write_str(rule),
            Self::OneOf(words) => f.write_str(&words.join(", ")),
            Self::Number(min, max) => write!(f, "{min} to {max}"),
            Self::Duration(min, max) => {
                write!(f, "{} to {}", show_duration(*min), show_duration(*max))
            }
            Self::Size(min, max) => write!(f, "{} to {}", show_size(*min), show_size(*max)),
        }
    }
}

/// The shortest spelling the parser reads back as the same duration.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

/// The shortest spelling the parser reads back as the same number of bytes.
pub(super) fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0B".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => format!("{bytes}B"),
    }
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Defines each key once, as a constant the parser uses and a row of `KEYS`.
macro_rules! keys {
    ($($(#[$why:meta])* $name:ident = $path:literal, $kind:ident, $default:expr, $range:expr, $doc:literal;)*) => {
        $($(#[$why])* pub(super) const $name: KeyDoc = KeyDoc {
            path: $path,
            kind: Kind::$kind,
            default: $default,
            range: $range,
            doc: $doc,
        };)*
        pub(in crate::config) const KEYS: &[KeyDoc] = &[$($name),*];
    };
}
pub(super) use keys;

const ENDPOINT_RULE: Range =
    Range::Rule("`unix:/path`, `inet:tcp:IP@PORT` or another Motr endpoint, at most 255 bytes");
const URL_RULE: Range = Range::Rule("`http://host:port` or `https://host:port`");
const PATH_RULE: Range = Range::Rule("a path");
const PROCESS_RULE: Range = Range::Rule("a fid of type process (0x72…)");
const SERVICE_RULE: Range = Range::Rule("a fid of type service (0x73…)");

keys! {
    NODE_NAME = "node.name", Text, DefaultValue::Required,
        Range::Rule("at most 255 bytes, printable, no space, no `/`"),
        "Name of this node in the Consul catalog.";

    HA_ENDPOINT = "ha.endpoint", Text, DefaultValue::Required, ENDPOINT_RULE,
        "Endpoint on which Motr processes of this node reach the bridge.";
    HA_PROCESS = "ha.process", Fid, DefaultValue::Required, PROCESS_RULE,
        "Fid of the bridge's own process.";
    HA_SERVICE = "ha.ha_service", Fid, DefaultValue::Required, SERVICE_RULE,
        "Fid of the bridge's HA service.";
    HA_RM_SERVICE = "ha.rm_service", Fid, DefaultValue::Required, SERVICE_RULE,
        "Fid of the bridge's resource manager service.";
    /// Isolate: one faulty Motr process must not take the bridge of a whole node down.
    HA_ON_FATAL_MESSAGE = "ha.on_fatal_message", Choice, DefaultValue::Value("isolate"),
        Range::OneOf(&["isolate", "panic"]),
        "On a message 5/HAX calls fatal: drop the link it came on, or stop the bridge.";
    /// 5/HAX is the specification; Hare goes beyond it.
    HA_PROFILE = "ha.profile", Choice, DefaultValue::Value("5/HAX"), Range::OneOf(&["5/HAX", "hare"]),
        "Whose behaviour: what 5/HAX says, or what Hare's bridge does beyond it with states under `m0conf/`.";

    /// On: it costs one file descriptor a process, and a second of waiting for a check is long.
    HA_DEATH_WATCH = "ha.death_watch", Boolean, DefaultValue::Value("true"),
        Range::OneOf(&["true", "false"]),
        "Whether the death of a process of this machine is noticed at once, without Consul's check.";

    /// Where a distribution keeps what a daemon leaves behind.
    HA_STATE_DIR = "ha.state_dir", Directory, DefaultValue::Value("/var/lib/hax"), PATH_RULE,
        "Directory for the trace files of libmotr, which is made if absent; not used without libmotr.";

    /// Long enough for a Consul leader election in most clusters' calm state, short
    /// enough that a starting process is told to ask again before its operator worries.
    ENTRYPOINT_TIMEOUT = "entrypoint.timeout", Duration, DefaultValue::Value("2s"),
        Range::Duration(ms(100), secs(60)),
        "How long a reply may take before the process is told to ask again (EAGAIN).";

    /// What 5/HAX asks for.
    DISPATCH_MODE = "dispatch.mode", Choice, DefaultValue::Value("queue"),
        Range::OneOf(&["queue", "lanes"]),
        "Keep all requests in one order, or only those of one process and of one link.";
    /// 16 s of 1,000 events a second; some 8 MiB of them, and 52 MiB if all are as large as can be.
    DISPATCH_QUEUE_MAX = "dispatch.queue_max", Number, DefaultValue::Value("16384"),
        Range::Number(64, 1 << 20),
        "Messages held for all processes together, from which links are not read (with libmotr: an alarm is raised).";

    /// The local agent's own default.
    CONSUL_ADDRESS = "consul.address", Text, DefaultValue::Value("http://127.0.0.1:8500"), URL_RULE,
        "Address of the local Consul agent.";
    CONSUL_TOKEN_FILE = "consul.token_file", File, DefaultValue::Unset, PATH_RULE,
        "File that holds the ACL token; read at start, never printed.";
    CONSUL_CA_FILE = "consul.ca_file", File, DefaultValue::Unset, PATH_RULE,
        "PEM file of the authority that signed the agent's certificate.";
    CONSUL_CERT_FILE = "consul.cert_file", File, DefaultValue::Unset, PATH_RULE,
        "PEM file of the client certificate; needs `consul.key_file`.";
    CONSUL_KEY_FILE = "consul.key_file", File, DefaultValue::Unset, PATH_RULE,
        "PEM file of the client's private key; needs `consul.cert_file`.";
    /// A healthy agent answers within milliseconds; a forwarded write waits for an election.
    CONSUL_TIMEOUT = "consul.timeout", Duration, DefaultValue::Value("5s"),
        Range::Duration(ms(100), secs(600)),
        "How long a request may take; a blocking query adds its own wait.";
    /// The agent is on this machine.
    CONSUL_CONNECT_TIMEOUT = "consul.connect_timeout", Duration, DefaultValue::Value("1s"),
        Range::Duration(ms(10), secs(60)),
        "How long connecting to the agent may take.";
    CONSUL_DATACENTER = "consul.datacenter", Text, DefaultValue::Unset,
        Range::Rule("letters, digits, `-` and `_`, at most 255 bytes"),
        "Datacenter asked; the agent's own if absent.";

    RETRY_MIN = "retry.min", Duration, DefaultValue::Value("100ms"), Range::Duration(ms(10), secs(600)),
        "First delay of the exponential backoff.";
    /// Bounds how long the bridge stays idle after Consul is back.
    RETRY_MAX = "retry.max", Duration, DefaultValue::Value("5s"), Range::Duration(ms(10), secs(600)),
        "Longest delay of the exponential backoff; at least `retry.min`.";
    /// Twice what one request may take: an attempt reads what it replaces, then writes.
    RETRY_ATTEMPT = "retry.attempt", Duration, DefaultValue::Value("10s"),
        Range::Duration(ms(100), secs(600)),
        "How long one attempt may take, all its requests together.";

    HTTP_LISTEN = "http.listen", Text, DefaultValue::Value("127.0.0.1:8008"),
        Range::Rule("`IP:PORT` of the loopback interface"),
        "Address the HTTP server listens on.";
    /// A service watch of a thousand processes is about 2 MiB.
    HTTP_BODY_LIMIT = "http.body_limit", Size, DefaultValue::Value("16MiB"),
        Range::Size(1 << 10, 256 << 20),
        "Largest request body.";

    LEADER_ELECT = "leader.elect", Boolean, DefaultValue::Value("true"),
        Range::OneOf(&["true", "false"]),
        "Whether this node stands for the leader, whose node holds the principal RM.";
    /// What Hare's session uses.
    LEADER_LOCK_DELAY = "leader.lock_delay", Duration, DefaultValue::Value("2s"),
        Range::Duration(secs(0), secs(60)),
        "How long Consul refuses the lock to others after a leader is lost.";

    /// 5/HAX names both keys, so both are written unless the operator says otherwise.
    KV_PROCESS_ALIAS = "kv.process_alias", Boolean, DefaultValue::Value("true"),
        Range::OneOf(&["true", "false"]),
        "Whether `process/<fid>` is written along with `processes/<fid>`.";

    LOG_FORMAT = "log.format", Choice, DefaultValue::Value("text"), Range::OneOf(&["text", "json"]),
        "Form of the log on standard error.";
    LOG_LEVEL = "log.level", Text, DefaultValue::Value("info"),
        Range::Rule("a level, or comma-separated `target=level` directives"),
        "What is logged; RUST_LOG overrides it.";
}

/// Sections that are arrays of tables, `[[fence.device]]`.
pub(super) const ARRAYS: &[&str] = &["fence.device", "fence.level", "fence.policy"];

/// The main file.
pub(super) static MAIN: LazyLock<Schema> = LazyLock::new(|| {
    let keys = [KEYS, fence::schema::KEYS, plugin::schema::KEYS].concat();
    Schema::new(keys, ARRAYS, |_, _| None)
});

/// Every key the configuration knows, in the order of the reference.
pub fn reference() -> &'static [KeyDoc] {
    MAIN.keys()
}

/// The reference as a Markdown table.
pub fn reference_table() -> String {
    table_of(reference())
}

/// Keys as a Markdown table.
pub(super) fn table_of(keys: &[KeyDoc]) -> String {
    let mut table =
        String::from("| key | kind | default | values | meaning |\n|---|---|---|---|---|\n");
    for key in keys {
        let default = match key.default {
            DefaultValue::Value(text) => format!("`{text}`"),
            other => other.to_string(),
        };
        table.push_str(&format!(
            "| `{}` | {} | {default} | {} | {} |\n",
            key.path, key.kind, key.range, key.doc
        ));
    }
    table
}
