//! The guard: the process between the daemon and an agent, so that no agent outlives its deadline
//! or its daemon (`rfc/13-fencing-protocol.md`, "The run").
//!
//! ```text
//!   daemon ──stdin: one line, a Job; then nothing until it ends──▶ guard ──stdin──▶ agent
//!          ◀──────stdout: the agent's pid, and a Report─────────        ◀─stdout, stderr─
//! ```
//!
//! The guard goes by its stdin and not by a parent-death signal: a daemon that goes away, however
//! it does, closes the pipe, and a guard that the kernel has killed could not kill the agent's
//! children any more. (That signal also comes when just the *thread* ends that has spawned it.) The
//! agent has such a signal, set between `fork` and `exec` by a stage of its own, because it is the
//! only thing that helps when the guard is killed.
//!
//! The agent leads a process group, which gets the signals. What has left the group falls to the
//! guard when its parent ends, as the guard is a subreaper, and is killed after the agent's end.
//! Out of reach is only what has left the group of an agent whose guard was killed.

mod output;
mod remains;
mod stage;
mod supervise;
mod wire;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub(crate) use wire::AGENT_PATH;
pub(super) use wire::{Ending, JOB_MAX, Job, Message, Report, Tail, UNKILLABLE};

/// `hax fence-guard`: started by the daemon, and by nobody else.
#[derive(Debug, Args)]
pub struct GuardArgs {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Run one agent: the job is on stdin.
    Run,
    /// Become the agent.
    Exec(stage::Args),
}

/// Runs `hax fence-guard`. One thread: the agent's parent-death signal is bound to it.
pub fn run(args: GuardArgs) -> ExitCode {
    match args.part {
        Part::Run => supervise::run(),
        Part::Exec(args) => stage::exec(&args),
    }
}
