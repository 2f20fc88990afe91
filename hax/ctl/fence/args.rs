//! The command line of `haxctl fence`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::ctl::bridge::ENVIRONMENT;
use crate::ctl::failure::EXIT_CODES;
use crate::fence::audit::Hash;
use crate::fence::model::{Action, DeviceName, OpId, OutcomeKind, Target};

/// Fences nodes and processes through a running bridge, and looks at what fencing does. A target is
/// a node, or FID@NODE for one Motr process. Without a command, the status is shown.
#[derive(Debug, Args)]
#[command(after_help = format!("{ENVIRONMENT}\n\n{EXIT_CODES}"))]
pub struct Fence {
    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
    /// HTTP address of the bridge: host:port or http://host:port [default: 127.0.0.1:8008]
    #[arg(long, value_name = "ADDR", global = true)]
    pub hax: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Peers, nodes, open operations, inhibits, and when each node was last shown to be fenceable
    Status,
    /// Devices, and who reaches them
    Devices,
    /// Ask a device, from the node of this bridge, what it can fence
    Targets {
        /// The device
        device: DeviceName,
    },
    /// See whether the node of this bridge reaches a device
    Ping {
        /// The device
        device: DeviceName,
    },
    /// What a fence would do, and how long it can take at most; nothing is started
    Plan {
        /// A node, or FID@NODE
        target: Target,
        /// What would be done
        #[arg(long, value_enum, default_value = "off")]
        action: ActionArg,
    },
    /// Fence a target, and wait for the end
    Run(Run),
    /// Vouch for a target: it has ended, or cannot write. Nobody checks that
    Confirm {
        /// A node, or FID@NODE
        target: Target,
        /// How you made sure
        #[arg(long)]
        reason: String,
    },
    /// Operations, the newest first
    History {
        /// Only of this target
        #[arg(long)]
        target: Option<Target>,
        /// Only these
        #[arg(long, value_enum)]
        action: Option<ActionArg>,
        /// Only those that ended so
        #[arg(long, value_enum)]
        outcome: Option<OutcomeKind>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// All about one operation, and what it means for the node
    Explain {
        /// The operation; see the history
        op: OpId,
    },
    /// Maintenance: no fencing of a target, or of anything, for a time
    #[command(group = clap::ArgGroup::new("what").required(true).args(["target", "all"]))]
    #[command(group = clap::ArgGroup::new("how").required(true).args(["time", "end"]))]
    Inhibit {
        /// A node, or FID@NODE
        target: Option<Target>,
        /// All targets
        #[arg(long)]
        all: bool,
        /// For how long: 90s, 10m, 2h; 30 days at most
        #[arg(long = "for", value_name = "TIME", value_parser = crate::config::duration)]
        time: Option<Duration>,
        /// End an inhibit
        #[arg(long)]
        end: bool,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Bring a fenced or quarantined node back, or let a held operation go on
    Release {
        /// A node; with --override, an operation that a gate holds
        what: String,
        /// Let the operation pass the gates
        #[arg(long = "override")]
        overridden: bool,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// End an operation, between two attempts
    Cancel {
        /// The operation
        op: OpId,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Look at audit files (fence.audit_file); needs no bridge
    #[command(subcommand)]
    Audit(Audit),
}

/// Fences a target. When this command is interrupted, or --timeout is over, the operation goes on.
#[derive(Debug, Args)]
pub struct Run {
    /// A node, or FID@NODE
    pub target: Target,
    /// What to do
    #[arg(long, value_enum, default_value = "off")]
    pub action: ActionArg,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// Pass the gates: inhibit, storm guard, quarantine
    #[arg(long = "override")]
    pub overridden: bool,
    /// An equal success this recent is the answer: 30s, 5m
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = crate::config::duration)]
    pub tolerance: Duration,
    /// This device only, without levels
    #[arg(long)]
    pub device: Option<DeviceName>,
    /// Wait before the first step, in addition
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = crate::config::duration)]
    pub delay: Duration,
    /// It never fires if it has not started after this time [default: fence.expire]
    #[arg(long, value_name = "TIME", value_parser = crate::config::duration)]
    pub expire: Option<Duration>,
    /// How long to wait for the end [default: until it comes]
    #[arg(long, value_name = "TIME", conflicts_with = "no_wait", value_parser = crate::config::duration)]
    pub timeout: Option<Duration>,
    /// Do not wait for the end
    #[arg(long)]
    pub no_wait: bool,
}

/// The commands on audit files.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check the chain of hashes of a file, with the earlier files before it, in any order
    Verify {
        /// The files
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// A hash that was noted before, by this command or from `haxctl fence status --json`: its line must
        /// be there. Only so lines that were removed from the end are found
        #[arg(long, value_name = "HASH")]
        expect: Option<Hash>,
    },
}

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ActionArg {
    /// It cannot write until it is switched on
    Off,
    /// It may take part again
    On,
    /// Off, then on
    Reboot,
}

impl From<ActionArg> for Action {
    fn from(arg: ActionArg) -> Self {
        match arg {
            ActionArg::Off => Self::Off,
            ActionArg::On => Self::On,
            ActionArg::Reboot => Self::Reboot,
        }
    }
}
