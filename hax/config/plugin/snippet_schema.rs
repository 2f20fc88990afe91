//! The keys of snippets.
//!
//! Rules of all objects have the same keys but for their fields, so those are defined once, with `OBJECT` and
//! `FIELD` in their path, and made for every object from what the objects themselves say.

use std::sync::LazyLock;

use super::foreign;
use crate::config::known::Schema;
use crate::config::schema::{DefaultValue, KeyDoc, Kind, Range, keys, ms, secs, table_of};
use crate::plugin::Kind as Object;

const BOOLEAN: Range = Range::OneOf(&["true", "false"]);
const VALUE: Range =
    Range::Rule("a value, or `{ operator = \"Equals\", \"NotEquals\" or \"Matches\", value = … }`");

keys! {
    CONCURRENCY = "umh.concurrency", Number, DefaultValue::Value("8"), Range::Number(1, 256),
        "Commands that run at once, at most; further ones wait.";
    PENDING_MAX = "umh.pending_max", Number, DefaultValue::Value("256"), Range::Number(0, 65_536),
        "Commands that wait, at most; what does not fit is counted, and not run.";

    RULE_NAME = "umh.OBJECT.name", Text, DefaultValue::Follows("`OBJECT-N`, counted from 1"),
        Range::Rule("at most 64 bytes, without control characters; unique"),
        "Name of the rule, in the log and in `HAX_RULE`.";
    RULE_COMMAND = "umh.OBJECT.command", Command, DefaultValue::Required,
        Range::Rule("an absolute path, then arguments; with `shell` a line for `/bin/sh -c`"),
        "What is run; never printed.";
    RULE_SHELL = "umh.OBJECT.shell", Boolean, DefaultValue::Value("false"), BOOLEAN,
        "Whether `command` is a string for the shell.";
    RULE_ENV = "umh.OBJECT.env", Table, DefaultValue::Unset, Range::Rule("name = string"),
        "More of the environment; never printed.";
    RULE_EVENTS = "umh.OBJECT.events", List, DefaultValue::Follows("create, change, destroy"),
        Range::OneOf(&["exists", "create", "change", "destroy"]),
        "The kinds of event that the rule is for.";
    RULE_TIMEOUT = "umh.OBJECT.timeout", Duration, DefaultValue::Value("60s"),
        Range::Duration(ms(100), secs(24 * 3600)),
        "How long a command may run; TERM after that, KILL 2 s later.";
    RULE_FIELD = "umh.OBJECT.FIELD", Comparison, DefaultValue::Unset, VALUE,
        "What a field of the object must be now; in a `destroy`, what it was. `FIELD` is a field of the object, and `resource_name` the name of a DRBD resource.";
    RULE_OLD = "umh.OBJECT.old.FIELD", Comparison, DefaultValue::Unset, VALUE,
        "What it must have been before; never matches where there was no object.";
    RULE_NEW = "umh.OBJECT.new.FIELD", Comparison, DefaultValue::Unset, VALUE,
        "What it must be now; never matches where there is no object.";

    /// The port that is registered for what users of DRBD scrape.
    ADDRESS = "prometheus.address", Text, DefaultValue::Value("127.0.0.1:9942"),
        Range::Rule("`IP:PORT`, of the loopback interface unless `allow_remote`; no other snippet's"),
        "Where `GET /metrics` is answered.";
    ALLOW_REMOTE = "prometheus.allow_remote", Boolean, DefaultValue::Value("false"), BOOLEAN,
        "Whether it may be an address that other machines reach; there is no authentication.";
    CONNECTIONS = "prometheus.connections", Number, DefaultValue::Value("32"), Range::Number(1, 1024),
        "Connections served at once, at most.";
    TIMEOUT = "prometheus.timeout", Duration, DefaultValue::Value("10s"),
        Range::Duration(ms(100), secs(600)),
        "How long a request or a reply may take, and a connection be idle.";
    ENUMS = "prometheus.enums", Boolean, DefaultValue::Value("false"), BOOLEAN,
        "Whether every state is shown as a number of its own, too.";
}

/// The tables that a snippet can be, one of them once.
pub(super) const KINDS: &[&str] = &["debugger", "umh", "prometheus", "promoter"];

/// How rules call the field `name` of DRBD's objects: `name` is that of the rule.
pub(super) const RESOURCE_NAME: &str = "resource_name";

/// The keys of the rules of one object.
pub(super) struct RuleKeys {
    pub(super) object: Object,
    pub(super) name: KeyDoc,
    pub(super) command: KeyDoc,
    pub(super) shell: KeyDoc,
    pub(super) env: KeyDoc,
    pub(super) events: KeyDoc,
    pub(super) timeout: KeyDoc,
    pub(super) fields: Vec<FieldKeys>,
}

/// The keys for one field.
pub(super) struct FieldKeys {
    /// As the object calls it.
    pub(super) field: &'static str,
    pub(super) current: KeyDoc,
    pub(super) old: KeyDoc,
    pub(super) new: KeyDoc,
}

impl RuleKeys {
    fn of(object: Object) -> Self {
        let key = |template: KeyDoc, field: &str| {
            let path = template.path.replace("OBJECT", object.word());
            // Once for each key, as long as the program runs.
            let path: &'static str = path.replace("FIELD", field).leak();
            KeyDoc { path, ..template }
        };
        let field = |field: &&'static str| {
            let word = match *field {
                "name" => RESOURCE_NAME,
                other => other,
            };
            FieldKeys {
                field,
                current: key(RULE_FIELD, word),
                old: key(RULE_OLD, word),
                new: key(RULE_NEW, word),
            }
        };
        Self {
            object,
            name: key(RULE_NAME, ""),
            command: key(RULE_COMMAND, ""),
            shell: key(RULE_SHELL, ""),
            env: key(RULE_ENV, ""),
            events: key(RULE_EVENTS, ""),
            timeout: key(RULE_TIMEOUT, ""),
            fields: object.fields().iter().map(field).collect(),
        }
    }

    /// `umh.OBJECT`
    pub(super) fn section(&self) -> &'static str {
        self.name.section()
    }

    /// All keys; those of one section follow one another.
    fn all(&self) -> Vec<KeyDoc> {
        let own = [
            self.name,
            self.command,
            self.shell,
            self.env,
            self.events,
            self.timeout,
        ];
        let mut keys = own.to_vec();
        keys.extend(self.fields.iter().map(|field| field.current));
        keys.extend(self.fields.iter().map(|field| field.old));
        keys.extend(self.fields.iter().map(|field| field.new));
        keys
    }
}

/// The keys of rules, for each object.
pub(super) static RULES: LazyLock<Vec<RuleKeys>> =
    LazyLock::new(|| Object::ALL.iter().copied().map(RuleKeys::of).collect());

/// A snippet.
pub(super) static SNIPPET: LazyLock<Schema> = LazyLock::new(|| {
    let plain = |key: &&KeyDoc| !key.path.contains("OBJECT");
    let mut keys: Vec<_> = KEYS.iter().filter(plain).copied().collect();
    keys.extend(RULES.iter().flat_map(RuleKeys::all));
    let mut arrays = vec!["umh", "prometheus"];
    arrays.extend(RULES.iter().map(RuleKeys::section));
    Schema::new(keys, &arrays, foreign::answer)
        .with_bare(&["debugger"])
        .with_opaque(&["promoter"])
});

/// Every key of snippets; `OBJECT` and `FIELD` stand for the objects, and for their fields.
pub fn snippet_reference() -> &'static [KeyDoc] {
    KEYS
}

/// The reference of snippets as a Markdown table.
pub fn snippet_reference_table() -> String {
    table_of(KEYS)
}
