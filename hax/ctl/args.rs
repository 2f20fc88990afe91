//! The command line of `haxctl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::bridge::ENVIRONMENT as HAX_ENVIRONMENT;
use super::consul::ENVIRONMENT;
use super::failure::EXIT_CODES;
use super::fence::args::Fence;

/// Control tool of hax, the HA bridge between Motr and Consul.
#[derive(Debug, Parser)]
#[command(name = "haxctl", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Work on Consul's KV store
    #[command(subcommand)]
    Kv(Kv),
    /// Show, replay or discard messages that Consul has refused for good
    DeadLetters(DeadLetters),
    /// Fence nodes and processes, and look at fencing
    Fence(Fence),
    /// Make what a described cluster starts from
    Bootstrap(Bootstrap),
}

/// Works on the dead letters of a running bridge: process events that Consul refuses for good (a
/// missing permission, for instance). Motr keeps them too and sends them again to the next run of
/// the bridge. Without a command, they are listed.
#[derive(Debug, Args)]
#[command(after_help = format!("{HAX_ENVIRONMENT}\n\n{EXIT_CODES}"))]
pub struct DeadLetters {
    /// What to do with them
    #[command(subcommand)]
    pub action: Option<LetterAction>,
    /// HTTP address of the bridge: host:port or http://host:port [default: 127.0.0.1:8008]
    #[arg(long, value_name = "ADDR", global = true)]
    pub hax: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum LetterAction {
    /// Handle them again, in the order of their arrival, once the cause is mended
    Replay {
        /// The letters; see the list
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<u64>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Acknowledge them to Motr: their statuses are never written
    Discard {
        /// The letters; see the list
        #[arg(value_name = "ID", required = true)]
        ids: Vec<u64>,
    },
}

/// The commands on the KV store.
#[derive(Debug, Subcommand)]
pub enum Kv {
    /// Load a file of KV pairs
    Load(Load),
}

/// Loads a JSON list of {"key": …, "value": …}; a value that is no string is stored as
/// its JSON text. Keys that have the value already are left alone; if any key has
/// another value, nothing is written.
#[derive(Debug, Args)]
#[command(after_help = format!("{ENVIRONMENT}\n\n{EXIT_CODES}"))]
pub struct Load {
    /// The file
    pub file: PathBuf,
    /// Consul agent: host:port, http://host:port or https://host:port
    /// [default: 127.0.0.1:8500]
    #[arg(long, value_name = "ADDR")]
    pub consul: Option<String>,
    /// Replace values that differ
    #[arg(long)]
    pub force: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Reads the description of a cluster and makes a Consul agent configuration and a
/// hax.toml for each node, and the KV pairs the cluster starts from. The agents need
/// their files before there is a KV store, so it is usually run twice: with --out, and
/// with --consul once they run.
///
/// Keys that the running cluster changes (states, the leader, the epoch) are only
/// created. If anything else differs from what is there, nothing is written.
#[derive(Debug, Args)]
#[command(after_help = format!("{ENVIRONMENT}\n\n{EXIT_CODES}"))]
pub struct Bootstrap {
    /// The description, cluster.toml
    pub description: PathBuf,
    /// Write DIR/<node>/consul.json and DIR/<node>/hax.toml
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Load the KV pairs: host:port, http://host:port or https://host:port
    #[arg(long, value_name = "ADDR")]
    pub consul: Option<String>,
    /// Replace files and values that differ
    #[arg(long)]
    pub force: bool,
    /// Print the KV pairs and the files instead
    #[arg(long)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
