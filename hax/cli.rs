//! The command line of `hax`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use crate::config::Config;
use crate::fence::executor::guard::{self, GuardArgs};
use crate::fence::watchdog::{self, WatchdogArgs};
use crate::{bench, daemon, fence, logging, sim, traces, version};

/// Exit code of a wrong configuration: `EX_CONFIG` of sysexits.h.
const EX_CONFIG: u8 = 78;

/// HA bridge between Motr and Consul.
#[derive(Debug, Parser)]
#[command(name = "hax", version = version::long(), arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bridge of this node until SIGTERM or SIGINT.
    Run {
        /// Configuration file.
        #[arg(short, long, value_name = "FILE", default_value = "/etc/hax/hax.toml")]
        config: PathBuf,
    },
    /// Check a configuration file and exit: 0 if it is right, 78 if not. Run it on the node that the file is
    /// for: its fence agents have to be there, and to know the parameters that are configured.
    CheckConfig {
        /// Configuration file.
        #[arg(short, long, value_name = "FILE", default_value = "/etc/hax/hax.toml")]
        config: PathBuf,
        /// The file is for another machine: check only what it says, and run no fence agent of this one.
        #[arg(long)]
        skip_machine_checks: bool,
    },
    /// Simulate a Motr process over the embedded ha_link.
    Sim(sim::Args),
    Bench(bench::Args),
    /// The load of `hax bench`.
    #[command(hide = true)]
    BenchLoad(bench::LoadArgs),
    /// Between the daemon and a fence agent.
    #[command(hide = true)]
    FenceGuard(GuardArgs),
    /// What ends the Motr processes of a node that is to fence itself.
    #[command(hide = true)]
    FenceWatchdog(WatchdogArgs),
}

/// Runs `hax` with the arguments of this process.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config } => with_config(&config, run),
        Command::CheckConfig {
            config,
            skip_machine_checks,
        } => with_config(&config, |checked| {
            check(&config, &checked, skip_machine_checks)
        }),
        Command::Sim(args) => in_runtime(sim::run(args)),
        // One thread: what measures is to take as little as it can of what is measured.
        Command::Bench(args) => block_on(&mut Builder::new_current_thread(), bench::run(args)),
        Command::BenchLoad(args) => {
            block_on(&mut Builder::new_current_thread(), bench::run_load(args))
        }
        Command::FenceGuard(args) => guard::run(args),
        Command::FenceWatchdog(args) => watchdog::run_process(&args),
    }
}

fn with_config(file: &Path, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match Config::load(file) {
        Ok(config) => then(config),
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(EX_CONFIG)
        }
    }
}

/// What is odd, and what of it this machine cannot use; `hax run` does not start with the latter.
fn check(file: &Path, config: &Config, skip_machine_checks: bool) -> ExitCode {
    let file = file.display();
    if let Some(fence) = &config.fence {
        for finding in fence::lint::lint(fence, &fence::lint::named_nodes(fence)) {
            eprintln!("{file}: warning: {finding}");
        }
    }
    in_runtime(async {
        let unusable = match skip_machine_checks {
            true => Vec::new(),
            false => fence::coordinator::unusable(config).await,
        };
        for problem in &unusable {
            eprintln!("{file}: {problem}");
        }
        if !unusable.is_empty() {
            eprintln!(
                "{file}: if it is for another machine, check it there, or with --skip-machine-checks"
            );
            return ExitCode::from(EX_CONFIG);
        }
        println!("{file}: no errors");
        ExitCode::SUCCESS
    })
}

fn run(config: Config) -> ExitCode {
    if let Err(error) = logging::init(&config.log) {
        eprintln!("hax: {error}");
        return ExitCode::from(EX_CONFIG);
    }
    // The runtime brings threads, with which the environment cannot be changed any more.
    if version::is_libmotr()
        && let Err(error) = traces::prepare(&config.ha.state_dir)
    {
        tracing::error!("ha.state_dir: {error:#}");
        return ExitCode::FAILURE;
    }
    in_runtime(async {
        match daemon::run(config).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error:#}");
                ExitCode::FAILURE
            }
        }
    })
}

fn in_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    block_on(&mut Builder::new_multi_thread(), work)
}

fn block_on(runtime: &mut Builder, work: impl Future<Output = ExitCode>) -> ExitCode {
    match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("hax: cannot start the runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
