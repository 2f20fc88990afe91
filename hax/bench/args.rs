//! Arguments of `hax bench`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::sim::endpoint::Endpoint;

/// Measures the bridge against a Consul of its own, on loopback.
///
/// Starts a Consul agent that keeps its state in memory (the program named by HAX_CONSUL, or
/// `consul` on PATH), a bridge, and processes that load it; all end with the measurement.
///
/// Exit codes: 0 measured, whether or not the goals are met; 1 it could not be measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Fewer and shorter rounds: a look, not a measurement
    #[arg(long)]
    pub quick: bool,

    /// Prints one JSON object instead of the table
    #[arg(long)]
    pub json: bool,

    /// Measures these only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<Group>,

    /// Configuration tree, a file such as `haxctl kv load` takes; by default one of about 1,000
    /// objects is made up
    #[arg(long, value_name = "FILE")]
    pub tree: Option<PathBuf>,

    /// The bridge to measure; by default this program
    #[arg(long, value_name = "PATH")]
    pub hax: Option<PathBuf>,
}

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Memory and CPU of a bridge with nothing to do, and its start
    Idle,
    /// From a watch's POST to the last process
    Broadcast,
    /// From SIGKILL of a process to the last survivor
    Death,
    /// Answers to NVEC GET
    Nvec,
    /// Process events
    Events,
    /// An outage of Consul while events keep coming
    Outage,
    /// Entrypoint replies
    Entrypoint,
}

impl Args {
    pub(super) fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }
}

/// Arguments of the process that loads the bridge.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// Where the bridge listens
    #[arg(long, value_name = "ENDPOINT")]
    pub ha: Endpoint,
}
