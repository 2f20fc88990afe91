//! Arguments of `hax sim`.

use std::path::PathBuf;

use clap::Subcommand;
use halink::{Fid, FidType, ProcessType};

use super::endpoint::Endpoint;
use super::process::Profile;
use super::service::Service;

/// Simulates a Motr process on the embedded ha_link.
///
/// Exit codes: 0 in order; 2 bad arguments or script; 3 declared failed by HA;
/// 4 something waited for did not come; 5 a bad frame from the bridge; 6 no
/// connection in time.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub kind: Kind,
}

/// Which process.
#[derive(Clone, Debug, Subcommand)]
pub enum Kind {
    /// A server: starts, stays, and stops on SIGTERM
    M0d(ProcessArgs),
    /// Formats storage: starts, stops, and exits once every message is delivered
    M0mkfs(ProcessArgs),
    /// A client: starts, stays, and stops on SIGTERM
    Client(ProcessArgs),
}

impl Kind {
    pub(crate) fn split(self) -> (ProcessType, ProcessArgs) {
        match self {
            Kind::M0d(args) => (ProcessType::M0d, args),
            Kind::M0mkfs(args) => (ProcessType::M0mkfs, args),
            Kind::Client(args) => (ProcessType::Other, args),
        }
    }
}

/// How it is set up.
#[derive(Clone, Debug, clap::Args)]
pub struct ProcessArgs {
    /// Where the bridge listens: unix:/path or inet:tcp:IP@PORT
    #[arg(long, value_name = "ENDPOINT")]
    pub ha: Endpoint,

    /// Fid of the process; `pgrep -f` finds it in the form given here
    #[arg(long, value_name = "FID")]
    pub process: Fid,

    /// The process's own endpoint
    #[arg(long, value_name = "EP", value_parser = printable)]
    pub endpoint: String,

    /// A configured service, as `ios:FID`; in the order in which they start
    #[arg(long = "service", value_name = "TYPE:FID")]
    pub services: Vec<Service>,

    /// The process is a confd: it reads no configuration over the network
    #[arg(long)]
    pub confd: bool,

    /// Pools to ask failure vectors of: their number, or fids separated by commas
    #[arg(long, value_name = "N|FID,…", default_value = "3", value_parser = pools)]
    pub pools: Pools,

    /// Objects of the configuration: fids, or one file of them; by default the process, its services and pools
    #[arg(long, value_name = "FILE|FID", num_args = 1..)]
    pub objects: Vec<String>,

    /// Prints one JSON object per line
    #[arg(long)]
    pub json: bool,

    /// Commands to carry out after the start-up; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,

    /// The same as `--script -`
    #[arg(long, conflicts_with = "script")]
    pub interactive: bool,

    /// No start-up: connects, and does what the script says
    #[arg(long)]
    pub bare: bool,

    /// Exits without waiting for the delivery of the last messages
    #[arg(long)]
    pub no_wait: bool,

    /// Leaves received messages undelivered
    #[arg(long)]
    pub no_deliver: bool,

    /// Seconds until a bridge must be up
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub connect_timeout: u64,

    /// Seconds the last messages may take to be delivered
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub stop_timeout: u64,
}

/// Pools of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools(pub Vec<Fid>);

fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(0..=86_400)
}

fn printable(text: &str) -> Result<String, String> {
    let ok = text.len() <= super::wire::STR_MAX && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    ok.then(|| text.to_owned())
        .ok_or_else(|| "not up to 255 bytes of printable ASCII".into())
}

fn pools(text: &str) -> Result<Pools, String> {
    if let Ok(count) = text.parse::<u64>() {
        return match count {
            0..=1024 => Ok(Pools(
                (1..=count)
                    .map(|n| Fid::typed(FidType::Pool, 1, n))
                    .collect(),
            )),
            _ => Err("more than 1024 pools".into()),
        };
    }
    let pools: Result<Vec<Fid>, _> = text.split(',').map(str::parse).collect();
    pools.map(Pools).map_err(|error| error.to_string())
}

impl ProcessArgs {
    pub(crate) fn profile(&self, kind: ProcessType) -> Result<Profile, String> {
        let pools = self.pools.0.clone();
        let mut objects = Vec::new();
        if self.objects.is_empty() {
            objects.push(self.process);
            objects.extend(self.services.iter().map(|service| service.fid));
            objects.extend(&pools);
        }
        for text in &self.objects {
            match text.parse() {
                Ok(fid) => objects.push(fid),
                Err(_) => objects.extend(fids_of_file(text)?),
            }
        }
        let services = self.services.clone();
        Ok(Profile {
            kind,
            confd: self.confd,
            services,
            pools,
            objects,
        })
    }
}

fn fids_of_file(path: &str) -> Result<Vec<Fid>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("--objects {path}: neither a fid nor a file that can be read: {error}")
    })?;
    let mut fids = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        for word in line.split_whitespace() {
            let fid = word.parse();
            fids.push(fid.map_err(|error| format!("{path}: line {}: {error}", i + 1))?);
        }
    }
    Ok(fids)
}
