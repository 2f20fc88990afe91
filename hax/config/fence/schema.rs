//! The keys of `[fence]` and of the tables in it.

use crate::config::schema::{DefaultValue, KeyDoc, Kind, Range, keys, ms, secs};

const PATH: Range = Range::Rule("an absolute path");
const NODES: Range = Range::Rule("names of nodes");
const COMMAND: Range = Range::Rule("an absolute path, then arguments");
const BOOLEAN: Range = Range::OneOf(&["true", "false"]);
const DAY: u64 = 24 * 3600;

/// Bounds of one run of an agent.
const RUN: Range = Range::Duration(secs(1), secs(3600));
const DELAY: Range = Range::Duration(secs(0), secs(600));

keys! {
    ENABLED = "fence.enabled", Boolean, DefaultValue::Value("false"), BOOLEAN,
        "Whether this node takes part in fencing. What else is below `fence` is checked either way.";
    /// Consul itself takes no less than 10 s.
    SESSION_TTL = "fence.session_ttl", Duration, DefaultValue::Value("15s"),
        Range::Duration(secs(10), secs(3600)),
        "TTL of the session that holds all locks of this node.";
    LOCK_DELAY = "fence.lock_delay", Duration, DefaultValue::Value("5s"),
        Range::Duration(secs(1), secs(60)),
        "How long Consul refuses the locks of a lost session to others.";
    STARTUP_GRACE = "fence.startup_grace", Duration, DefaultValue::Value("30s"), DELAY,
        "For how long after its start the bridge fences nothing by itself.";
    EXPIRE = "fence.expire", Duration, DefaultValue::Value("10m"),
        Range::Duration(secs(10), secs(DAY)),
        "After this long without a start a request never fires.";
    HELD_MAX = "fence.held_max", Duration, DefaultValue::Value("1h"),
        Range::Duration(secs(60), secs(7 * DAY)),
        "How long the storm guard holds an operation before it expires.";
    STORM_TARGETS = "fence.storm_targets", Number, DefaultValue::Value("2"), Range::Number(1, 1000),
        "More targets than this within `storm_window` are held; the smaller of this and `storm_percent` counts.";
    STORM_PERCENT = "fence.storm_percent", Number, DefaultValue::Value("34"), Range::Number(1, 100),
        "The same, in percent of the nodes of the catalog; at least one target.";
    STORM_WINDOW = "fence.storm_window", Duration, DefaultValue::Value("10m"),
        Range::Duration(secs(10), secs(DAY)),
        "The time within which the storm guard counts.";
    LOOP_COUNT = "fence.loop_count", Number, DefaultValue::Value("3"), Range::Number(1, 100),
        "This many fencings of a target within `loop_window` switch it off and quarantine it.";
    LOOP_WINDOW = "fence.loop_window", Duration, DefaultValue::Value("1h"),
        Range::Duration(secs(60), secs(7 * DAY)),
        "The time within which the loop breaker counts.";
    TOLERANCE = "fence.tolerance", Duration, DefaultValue::Value("30s"),
        Range::Duration(secs(0), secs(3600)),
        "An equal success this recent is the answer to a trigger.";
    /// A node that comes back restores redundancy with nobody awake; the loop breaker ends what does not
    /// help.
    ACTION = "fence.action", Choice, DefaultValue::Value("reboot"), Range::OneOf(&["reboot", "off"]),
        "What is done to a node that has failed.";
    HISTORY_MAX = "fence.history_max", Number, DefaultValue::Value("500"), Range::Number(10, 10_000),
        "Ended operations kept in KV.";
    HISTORY_AGE = "fence.history_age", Duration, DefaultValue::Value("720h"),
        Range::Duration(secs(3600), secs(366 * DAY)),
        "How long ended operations are kept in KV.";
    AUDIT_FILE = "fence.audit_file", File, DefaultValue::Value("/var/lib/hax/fence-audit.jsonl"), PATH,
        "The audit file of this node.";
    DRILL_INTERVAL = "fence.drill_interval", Duration, DefaultValue::Value("1h"),
        Range::Duration(secs(0), secs(7 * DAY)),
        "How often it is looked whether each device can be reached, without fencing; `0s`: never.";
    AGENT_DIR = "fence.agent_dir", Directory, DefaultValue::Value("/usr/sbin"), PATH,
        "Where fence agents are that are named without a path.";
    BOOT_ID_FILE = "fence.boot_id_file", File,
        DefaultValue::Value("/proc/sys/kernel/random/boot_id"), PATH,
        "A file whose content changes with every boot of the node.";
    READMIT = "fence.readmit", Choice, DefaultValue::Value("reboot"), Range::OneOf(&["reboot", "operator"]),
        "Who brings a fenced node back: the node, when it has been booted anew, or an operator only.";

    FILES_REQUEST_DIR = "fence.files.request_dir", Directory,
        DefaultValue::Value("/var/run/fence_recorder/requests"), PATH,
        "Where request files of `fence_recorder` appear; `[fence.files]` lets hax answer them.";
    FILES_RESPONSE_DIR = "fence.files.response_dir", Directory,
        DefaultValue::Value("/var/run/fence_recorder/responses"), PATH,
        "Where the responses are written.";
    /// As long as the agent waits for its answer.
    FILES_MAX_AGE = "fence.files.max_age", Duration, DefaultValue::Value("60s"),
        Range::Duration(secs(1), secs(3600)),
        "A request file older than this never fires.";
    FILES_OWNERS = "fence.files.owners", Numbers, DefaultValue::Unset,
        Range::Number(0, u32::MAX as u64 - 1),
        "UIDs whose request files are taken, besides root and the daemon's own.";

    DEVICE_NAME = "fence.device.name", Text, DefaultValue::Required,
        Range::Rule("letters, digits, `.`, `_` and `-`, at most 64; unique"),
        "Name of the device.";
    DEVICE_TYPE = "fence.device.type", Choice, DefaultValue::Required,
        Range::OneOf(&["agent", "files", "process", "command", "watchdog", "dummy"]),
        "What it is: a fence agent, request and response files, the killing of one process, commands, the target itself, or nothing.";
    DEVICE_PEERS = "fence.device.peers", List, DefaultValue::Unset, NODES,
        "The nodes that can use it; all, if absent.";
    DEVICE_HOSTS = "fence.device.hosts", List, DefaultValue::Unset, NODES,
        "The nodes that it can fence, whose port is their name.";
    DEVICE_HOST_LIST = "fence.device.host_list", Text, DefaultValue::Unset,
        Range::Rule("names of nodes between spaces, commas or semicolons"),
        "The same as `hosts`, as Pacemaker's `pcmk_host_list` has it.";
    DEVICE_PORTS = "fence.device.ports", Table, DefaultValue::Unset,
        Range::Rule("node = port"),
        "The ports of nodes that it can fence.";
    DEVICE_HOST_MAP = "fence.device.host_map", Text, DefaultValue::Unset,
        Range::Rule("`node:port` between spaces or semicolons"),
        "The same as `ports`, as Pacemaker's `pcmk_host_map` has it.";
    DEVICE_HOST_CHECK = "fence.device.host_check", Choice,
        DefaultValue::Follows("`static` with hosts or ports, else `dynamic`"),
        Range::OneOf(&["static", "dynamic", "status", "none"]),
        "How is found out what it can fence: what is named here, what it lists, whose status it tells, or anything at all.";
    DEVICE_OFF_TIMEOUT = "fence.device.off_timeout", Duration, DefaultValue::Value("60s"), RUN,
        "How long `off` may take.";
    DEVICE_ON_TIMEOUT = "fence.device.on_timeout", Duration, DefaultValue::Value("60s"), RUN,
        "How long `on` may take.";
    DEVICE_REBOOT_TIMEOUT = "fence.device.reboot_timeout", Duration, DefaultValue::Value("60s"), RUN,
        "How long `reboot` may take.";
    DEVICE_STATUS_TIMEOUT = "fence.device.status_timeout", Duration, DefaultValue::Value("60s"), RUN,
        "How long `status` may take.";
    DEVICE_MONITOR_TIMEOUT = "fence.device.monitor_timeout", Duration, DefaultValue::Value("60s"), RUN,
        "How long `monitor` may take.";
    DEVICE_LIST_TIMEOUT = "fence.device.list_timeout", Duration, DefaultValue::Value("60s"), RUN,
        "How long `list` may take.";
    DEVICE_KILL_GRACE = "fence.device.kill_grace", Duration, DefaultValue::Value("5s"),
        Range::Duration(ms(100), secs(60)),
        "Between TERM and KILL of a program that has taken too long; slack for what is no program.";
    DEVICE_RETRIES = "fence.device.retries", Number, DefaultValue::Value("1"), Range::Number(0, 5),
        "Tries after the first one.";
    DEVICE_DELAY = "fence.device.delay", Duration, DefaultValue::Value("0s"), DELAY,
        "Delay before `off` and `reboot`; of two nodes only one should have it, or they fence each other.";
    DEVICE_DELAYS = "fence.device.delays", Table, DefaultValue::Unset,
        Range::Rule("node = duration, 0s to 10m"),
        "The same by target, instead of `delay`.";
    DEVICE_DELAY_RANDOM = "fence.device.delay_random", Duration, DefaultValue::Value("0s"), DELAY,
        "Random delay in addition, at most.";
    DEVICE_CONCURRENCY = "fence.device.concurrency", Number, DefaultValue::Follows("1; 16 of `process` and `watchdog`"), Range::Number(1, 16),
        "Users at one time, in the whole cluster.";
    DEVICE_PARALLEL = "fence.device.parallel", Boolean, DefaultValue::Value("false"), BOOLEAN,
        "Whether it may switch off at the same time as its neighbours in a level.";
    DEVICE_UNFENCE = "fence.device.unfence", Choice, DefaultValue::Value("metadata"),
        Range::OneOf(&["metadata", "never", "automatic", "on-target"]),
        "Whether its `on` is required before a fenced node takes part again, and whether that runs on the node itself.";
    DEVICE_AGENT = "fence.device.agent", File, DefaultValue::Unset,
        Range::Rule("a name, or an absolute path"),
        "agent: its program, such as `fence_ipmilan`; required.";
    DEVICE_PARAMETERS = "fence.device.parameters", Table, DefaultValue::Unset,
        Range::Rule("name = string, number or boolean"),
        "agent: what it is given; never printed.";
    DEVICE_SECRETS = "fence.device.secrets", Table, DefaultValue::Unset,
        Range::Rule("name = absolute path"),
        "agent: parameters whose values are in files, which are read before each run and never printed.";
    DEVICE_PORT_PARAMETER = "fence.device.port_parameter", Text, DefaultValue::Follows("`plug` or `port`, as the agent has it"),
        Range::Rule("the name of a parameter"),
        "agent: the parameter that takes the port.";
    DEVICE_REQUEST_DIR = "fence.device.request_dir", Directory, DefaultValue::Unset, PATH,
        "files: where requests are written; required.";
    DEVICE_RESPONSE_DIR = "fence.device.response_dir", Directory, DefaultValue::Unset, PATH,
        "files: where responses appear; required.";
    DEVICE_OFF = "fence.device.off", List, DefaultValue::Unset, COMMAND,
        "command: what switches off, without a shell; `{target}` and `{port}` are replaced; required.";
    DEVICE_ON = "fence.device.on", List, DefaultValue::Unset, COMMAND,
        "command: what switches on.";
    DEVICE_REBOOT = "fence.device.reboot", List, DefaultValue::Follows("`off`, then `on`"), COMMAND,
        "command: what reboots.";
    DEVICE_STATUS = "fence.device.status", List, DefaultValue::Unset, COMMAND,
        "command: what tells the power; exit code 0 is on, 2 is off.";
    DEVICE_MONITOR = "fence.device.monitor", List, DefaultValue::Unset, COMMAND,
        "command: what tells whether the device can be reached.";
    DEVICE_LIST = "fence.device.list", List, DefaultValue::Unset, COMMAND,
        "command: what lists the ports, one a line.";
    DEVICE_TIMEOUT = "fence.device.timeout", Duration, DefaultValue::Follows("`session_ttl` + `stop_max`"), RUN,
        "watchdog: how long a peer waits until the target has stopped itself; not below the default.";
    DEVICE_STOP_MAX = "fence.device.stop_max", Duration, DefaultValue::Value("5s"),
        Range::Duration(secs(1), secs(600)),
        "watchdog: how long the target takes at most to stop itself.";
    /// A process that does not even die of SIGKILL is why the node must go.
    DEVICE_ACTION = "fence.device.action", Choice, DefaultValue::Value("reboot"),
        Range::OneOf(&["processes", "command", "reboot"]),
        "watchdog: what the target does to itself: stops its Motr processes, then also runs a command, or reboots at once.";
    DEVICE_COMMAND = "fence.device.command", List, DefaultValue::Unset, COMMAND,
        "watchdog: the command of `action = \"command\"`.";
    DEVICE_SUCCEED = "fence.device.succeed", Boolean, DefaultValue::Value("true"), BOOLEAN,
        "dummy: whether its actions succeed.";
    DEVICE_TAKES = "fence.device.takes", Duration, DefaultValue::Value("0s"),
        Range::Duration(secs(0), secs(3600)),
        "dummy: how long its actions take.";

    LEVEL_TARGET = "fence.level.target", Text, DefaultValue::Unset, Range::Rule("the name of a node"),
        "The node that the level is for. One of `target`, `pattern` and `attribute` is required.";
    LEVEL_PATTERN = "fence.level.pattern", Text, DefaultValue::Unset,
        Range::Rule("a regular expression, at most 256 bytes"),
        "The nodes that the level is for: those whose whole name matches, and no `target` names.";
    LEVEL_ATTRIBUTE = "fence.level.attribute", Text, DefaultValue::Unset, Range::Rule("`key=value`"),
        "The nodes that the level is for: those with this metadata in Consul's catalog, and neither `target` nor `pattern`.";
    LEVEL_LEVEL = "fence.level.level", Number, DefaultValue::Required, Range::Number(1, 9),
        "Levels are tried in this order until one has succeeded.";
    LEVEL_DEVICES = "fence.level.devices", List, DefaultValue::Required, Range::Rule("names of devices, 1 to 32"),
        "Devices that must all succeed, in this order.";

    POLICY_NAME = "fence.policy.name", Text, DefaultValue::Required,
        Range::Rule("letters, digits, `.`, `_` and `-`, at most 64; unique"),
        "Name of the policy. The first one that matches counts; without any, one with the defaults is there.";
    POLICY_PROCESSES = "fence.policy.processes", List, DefaultValue::Unset,
        Range::Rule("names of services, or fids of type process (0x72…)"),
        "The processes that it is for; all, if absent.";
    POLICY_ON = "fence.policy.on", List, DefaultValue::Unset,
        Range::Rule("check, isolate, node-lost, motr"),
        "What it is for: a critical check, an isolation, the loss of a node, reports of other Motr processes; if absent, all but the last.";
    POLICY_REPORTERS = "fence.policy.reporters", Number, DefaultValue::Value("2"), Range::Number(1, 1000),
        "For `motr`: nodes whose Motr processes have to report the process; fewer set nothing off.";
    /// Consul's checks flap; TRANSIENT is told meanwhile.
    POLICY_AFTER = "fence.policy.after", Duration, DefaultValue::Value("10s"),
        Range::Duration(secs(0), secs(3600)),
        "How long the failure must have lasted.";
    POLICY_MAX = "fence.policy.max", Number, DefaultValue::Value("3"), Range::Number(1, 100),
        "Operations for one target within `window`, at most.";
    POLICY_WINDOW = "fence.policy.window", Duration, DefaultValue::Value("1h"),
        Range::Duration(secs(1), secs(7 * DAY)),
        "The time within which `max` counts.";
    POLICY_ACTION = "fence.policy.action", Choice, DefaultValue::Follows("`fence.action`"),
        Range::OneOf(&["off", "reboot", "none"]),
        "What is done; `none`: nothing.";
    POLICY_ESCALATE = "fence.policy.escalate", Boolean, DefaultValue::Value("true"), BOOLEAN,
        "Whether the node is fenced if its process cannot be.";
}
