//! One run of a command, from its start to the end of its process group.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::plugin::Commands;

use super::super::process_group::ProcessGroup;
use super::output::{Amount, Output, Stream};

/// How long a group may take after TERM.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long, when the instance stops, the end of what was killed is waited for. Only a process that the
/// kernel does not let go takes longer.
pub(super) const LET_GO: Duration = Duration::from_secs(1);

/// How long output is read after the end of the group. Only somebody who has left the group can hold it open.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// The program of `shell = true`.
pub(super) const SHELL: &str = "/bin/sh";

/// What is run.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) command: &'a Commands,
    pub(super) environment: Vec<(String, String)>,
    pub(super) timeout: Duration,
}

/// How a run has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// By itself.
    Exited(i32),
    /// By a signal that is not from here.
    Signalled(i32),
    /// It took too long; whether TERM was not enough.
    TimedOut { killed: bool },
    /// The instance stops; whether TERM was not enough.
    Stopped { killed: bool },
    /// It never ran.
    NotStarted(String),
    /// How is not known.
    Lost(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |killed: bool| if killed { "KILL" } else { "TERM" };
        match self {
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Self::TimedOut { killed } => write!(f, "timeout: ended by {}", by(*killed)),
            Self::Stopped { killed } => {
                write!(f, "the instance stops: ended by {}", by(*killed))
            }
            Self::NotStarted(why) => write!(f, "cannot be started: {why}"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

/// What there is to tell of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) ending: Ending,
    pub(super) output: Amount,
}

/// Runs it to the end of its process group. `stop` ends it; so does dropping the future, with KILL.
pub(super) async fn run(
    call: Call<'_>,
    stop: &CancellationToken,
    log: &dyn Fn(Stream, &str),
) -> Report {
    let output = Output::default();
    let ending = match ProcessGroup::spawn(&mut command(&call)) {
        Ok(group) => attend(group, &output, call.timeout, stop, log).await,
        Err(error) => Ending::NotStarted(error.to_string()),
    };
    Report {
        ending,
        output: output.amount(),
    }
}

fn command(call: &Call<'_>) -> Command {
    let (program, args) = match call.command {
        Commands::Program(words) => match words.split_first() {
            Some((program, args)) => (program.as_str(), args.to_vec()),
            None => ("", Vec::new()),
        },
        Commands::Shell(line) => (SHELL, vec!["-c".to_owned(), line.clone()]),
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(call.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn attend(
    mut group: ProcessGroup,
    output: &Output,
    may_take: Duration,
    stop: &CancellationToken,
    log: &dyn Fn(Stream, &str),
) -> Ending {
    let (stdout, stderr) = (group.stdout(), group.stderr());
    let mut reading = pin!(async {
        tokio::join!(
            output.read(Stream::Stdout, stdout, log),
            output.read(Stream::Stderr, stderr, log),
        );
    });
    let mut open = true;
    let mut late = pin!(sleep(may_take));
    let cause = loop {
        tokio::select! {
            () = group.ended() => break None,
            () = &mut reading, if open => open = false,
            () = &mut late => break Some(Cause::Timeout),
            () = stop.cancelled() => break Some(Cause::Stop),
        }
    };
    let mut killed = false;
    if cause.is_some() {
        group.signal(Signal::TERM);
        // Those who hold the output open are still about what TERM has told them.
        let over = async {
            tokio::join!(group.ended(), async {
                if open {
                    reading.as_mut().await;
                    open = false;
                }
            });
        };
        killed = timeout(GRACE, over).await.is_err();
    }
    group.signal(Signal::KILL);
    let let_go = async {
        stop.cancelled().await;
        sleep(LET_GO).await;
    };
    let mut let_go = pin!(let_go);
    let status = loop {
        tokio::select! {
            status = group.reap() => break status,
            () = &mut reading, if open => open = false,
            () = &mut let_go => return Ending::Lost(format!("KILL does not end process {}", group.id())),
        }
    };
    if open {
        let _ = timeout(LAST_OUTPUT, reading).await;
    }
    match (cause, status) {
        (Some(Cause::Timeout), _) => Ending::TimedOut { killed },
        (Some(Cause::Stop), _) => Ending::Stopped { killed },
        (None, Ok(status)) => by_itself(status),
        (None, Err(error)) => Ending::Lost(format!("cannot be waited for: {error}")),
    }
}

/// Why a run is ended.
#[derive(Clone, Copy)]
enum Cause {
    Timeout,
    Stop,
}

fn by_itself(status: ExitStatus) -> Ending {
    match status.code() {
        Some(code) => Ending::Exited(code),
        None => Ending::Signalled(status.signal().unwrap_or(0)),
    }
}
