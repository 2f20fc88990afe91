//! Between `fork` and `exec` of an agent: what must be done there, done by a process of its own.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::super::api::BootInstant;
use super::wire::{AGENT_PATH, Ending, Job};

/// Exit code with which it ends when it does not become the agent. An agent may end with it, too: what
/// tells is the token on stderr.
pub(super) const NOT_BECOME: i32 = 125;

/// `hax fence-guard exec`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The guard's pid.
    #[arg(long)]
    parent: i32,
    /// Milliseconds of CLOCK_BOOTTIME.
    #[arg(long)]
    start_by: u64,
    /// What its own words on stderr begin with.
    #[arg(long)]
    token: String,
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// The command that runs this stage.
pub(super) fn command(token: &str, job: &Job) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("hax-fence-agent")
        .args(["fence-guard", "exec", "--token", token])
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--start-by")
        .arg(job.start_by.to_string())
        .arg("--")
        .arg(&job.program)
        .args(&job.args)
        .env_clear()
        .env("PATH", AGENT_PATH)
        .env("LANG", "C")
        .current_dir("/")
        .process_group(0);
    command
}

/// Becomes the agent, or says why not.
pub(super) fn exec(args: &Args) -> ExitCode {
    let why = match become_agent(args) {
        Ending::TooLate => "late".to_owned(),
        Ending::NotExecuted(why) => why,
        // The guard has gone; nobody reads this.
        _ => "alone".to_owned(),
    };
    eprintln!("\n{} {why}", args.token);
    u8::try_from(NOT_BECOME).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn become_agent(args: &Args) -> Ending {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Ending::NotExecuted(format!("no parent-death signal: {error}"));
    }
    // The guard may have been killed before the signal was set.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(args.parent) {
        return Ending::Cancelled;
    }
    let mut command = Command::new(&args.program);
    command.args(&args.args);
    // The last thing before `exec`.
    if BootInstant::now().millis() > args.start_by {
        return Ending::TooLate;
    }
    let error = command.exec();
    Ending::NotExecuted(format!("{}: {error}", args.program.display()))
}

/// What the stage has said on stderr, if it did not become the agent.
pub(super) fn said(token: &str, stderr: &str) -> Option<Ending> {
    let (_, words) = stderr.rsplit_once(token)?;
    Some(match words.trim() {
        "late" => Ending::TooLate,
        why => Ending::NotExecuted(why.to_owned()),
    })
}
