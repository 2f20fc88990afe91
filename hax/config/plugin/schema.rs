//! The keys of `[plugins]`.

use crate::config::schema::{DefaultValue, KeyDoc, Kind, Range, keys, ms, secs};

const PATH: Range = Range::Rule("an absolute path");
const BOOLEAN: Range = Range::OneOf(&["true", "false"]);

keys! {
    SNIPPETS = "plugins.snippets", Directory, DefaultValue::Unset, PATH,
        "Directory of snippets, each of which is one plugin; without it there are no plugins.";
    WATCH = "plugins.watch", Boolean, DefaultValue::Value("false"), BOOLEAN,
        "Whether a change in the directory of snippets is a reload.";
    RUNTIME_DIR = "plugins.runtime_dir", Directory, DefaultValue::Value("/run/hax"), PATH,
        "Directory for what must outlive the daemon, but not the machine.";
    /// All objects of a large cluster fit; the world of an event is shared, so that this is some MiB.
    QUEUE_MAX = "plugins.queue_max", Number, DefaultValue::Value("4096"), Range::Number(16, 1 << 20),
        "Events that wait for one plugin, at most; one that falls behind is told the newest state instead.";
    START_TIMEOUT = "plugins.start_timeout", Duration, DefaultValue::Value("30s"),
        Range::Duration(ms(100), secs(600)),
        "How long a plugin may take until it is ready.";
    STOP_TIMEOUT = "plugins.stop_timeout", Duration, DefaultValue::Value("10s"),
        Range::Duration(ms(100), secs(600)),
        "How long a plugin may take to stop.";

    DRBD_ENABLED = "plugins.drbd.enabled", Boolean, DefaultValue::Value("false"), BOOLEAN,
        "Whether DRBD's states are watched.";
    DRBDSETUP = "plugins.drbd.drbdsetup", File, DefaultValue::Value("/usr/sbin/drbdsetup"), PATH,
        "The program that tells DRBD's states.";
    DRBD_STATISTICS_INTERVAL = "plugins.drbd.statistics_interval", Duration, DefaultValue::Value("60s"),
        Range::Duration(secs(0), secs(3600)),
        "How often DRBD's statistics are asked for; `0s`: never.";
}
