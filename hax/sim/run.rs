//! `hax sim`: one process, from its arguments to its exit code.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use halink::ProcessType;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::args::{Args, ProcessArgs};
use super::client::{Config, End, Events, SimProcess};
use super::link::Identity;
use super::output::{Output, Written};
use super::process::{self, Profile};
use super::script::run::{Runner, Stopped};
use super::script::{self, LINE_MAX, ScriptError, Step};

/// Bytes of a script at most.
const SCRIPT_MAX: u64 = 16 * 1024 * 1024;

/// Exit codes, as the help names them.
const USAGE: u8 = 2;
const ABSENT: u8 = 3;
const WAIT_FAILED: u8 = 4;
const BAD_FRAME: u8 = 5;
const NO_CONNECTION: u8 = 6;

/// Runs `hax sim` to its end. SIGTERM and SIGINT stop the process in order, a second
/// one at once.
pub async fn run(args: Args) -> ExitCode {
    let (kind, args) = args.kind.split();
    let prepared = match prepare(kind, &args) {
        Ok(prepared) => prepared,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "an error in the arguments, for people")]
            {
                eprintln!("hax sim: {error}");
            }
            return ExitCode::from(USAGE);
        }
    };
    ExitCode::from(simulate(args, prepared).await)
}

struct Prepared {
    profile: Profile,
    script: Script,
    signals: Signals,
    output: (Output, Written),
}

/// Where commands come from.
enum Script {
    None,
    Steps(std::vec::IntoIter<Step>),
    Stdin(mpsc::Receiver<Result<Step, ScriptError>>),
}

fn prepare(kind: ProcessType, args: &ProcessArgs) -> Result<Prepared, String> {
    let profile = args.profile(kind)?;
    let script = match &args.script {
        Some(path) if path != Path::new("-") => {
            let text = read_script(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let steps = script::parse(&text);
            let steps = steps.map_err(|error| format!("{}: {error}", path.display()))?;
            Script::Steps(steps.into_iter())
        }
        Some(_) => read_stdin()?,
        None if args.interactive => read_stdin()?,
        None => Script::None,
    };
    Ok(Prepared {
        profile,
        script,
        signals: Signals::new()?,
        output: Output::start(args.json).map_err(|error| format!("output: {error}"))?,
    })
}

fn read_script(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(SCRIPT_MAX + 1)
        .read_to_string(&mut text)?;
    match u64::try_from(read) {
        Ok(read) if read <= SCRIPT_MAX => Ok(text),
        _ => Err(std::io::Error::other(format!("above {SCRIPT_MAX} bytes"))),
    }
}

/// A thread, because nothing can take a blocked read from standard input back: the
/// process ends with the thread still in it.
fn read_stdin() -> Result<Script, String> {
    let (to, steps) = mpsc::channel(64);
    let thread = std::thread::Builder::new().name("sim-stdin".into());
    let spawned = thread.spawn(move || read_lines(std::io::stdin().lock(), &to));
    spawned.map_err(|error| error.to_string())?;
    Ok(Script::Stdin(steps))
}

fn read_lines(mut input: impl std::io::BufRead, to: &mpsc::Sender<Result<Step, ScriptError>>) {
    use std::io::{BufRead as _, Read as _};
    for number in 1.. {
        let mut line = String::new();
        let limit = LINE_MAX as u64 + 2;
        let step = match input.by_ref().take(limit).read_line(&mut line) {
            Ok(0) => return,
            Ok(_) => script::parse_line(number, line.trim_end()),
            Err(error) => Err(ScriptError {
                line: number,
                column: 1,
                reason: error.to_string(),
            }),
        };
        let Some(step) = step.transpose() else {
            continue;
        };
        let last = step.is_err();
        if to.blocking_send(step).is_err() || last {
            return;
        }
    }
}

impl Script {
    async fn next(&mut self) -> Result<Option<Step>, ScriptError> {
        match self {
            Script::None => Ok(None),
            Script::Steps(steps) => Ok(steps.next()),
            Script::Stdin(steps) => steps.recv().await.transpose(),
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Signals, String> {
        let on = |kind| signal(kind).map_err(|error| format!("signal handler: {error}"));
        let (terminate, interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        Ok(Signals {
            terminate,
            interrupt,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How the life of the process before its end came to it.
enum Next {
    Stop,
    Exit(u8),
}

async fn simulate(args: ProcessArgs, prepared: Prepared) -> u8 {
    let Prepared {
        profile,
        mut script,
        mut signals,
        output: (output, written),
    } = prepared;
    let (process, events) = SimProcess::spawn(Config {
        ha: args.ha.clone(),
        identity: Identity {
            process: args.process,
            pid: u64::from(std::process::id()),
            endpoint: args.endpoint.clone(),
            git_rev: concat!("hax-sim ", env!("CARGO_PKG_VERSION")).to_owned(),
        },
        connect_timeout: Duration::from_secs(args.connect_timeout),
        hold_entrypoint: args.bare,
        auto_deliver: !args.no_deliver,
    });
    let printer = tokio::spawn(print(events, output.clone()));

    let sim = Sim {
        args,
        profile,
        process,
        output,
    };
    let next = tokio::select! {
        next = sim.live(&mut script) => next,
        () = signals.next() => Next::Stop,
    };
    let code = match next {
        Next::Exit(code) => code,
        Next::Stop => {
            sim.output.line("stopping", &[]).await;
            tokio::select! {
                code = sim.stop() => code,
                () = signals.next() => 0,
            }
        }
    };
    sim.process.close().await;
    // It ends with the events, which end with the process.
    let _ = printer.await;
    sim.output.line("exit", &[("code", json!(code))]).await;
    drop(sim);
    written.wait().await;
    code
}

async fn print(mut events: Events, output: Output) {
    while let Some(event) = events.recv().await {
        output.event(&event).await;
    }
}

struct Sim {
    args: ProcessArgs,
    profile: Profile,
    process: SimProcess,
    output: Output,
}

impl Sim {
    async fn live(&self, script: &mut Script) -> Next {
        if !self.args.bare {
            if let Err(end) = process::start(&self.process, &self.profile).await {
                return Next::Exit(self.code_of(&end));
            }
            self.output.line("started", &[]).await;
        }
        if let Some(next) = self.script(script).await {
            return next;
        }
        match self.profile.kind {
            _ if self.args.bare => Next::Exit(0),
            ProcessType::M0mkfs => Next::Stop,
            _ => Next::Exit(self.code_of(&self.process.ended().await)),
        }
    }

    async fn script(&self, script: &mut Script) -> Option<Next> {
        let mut runner = Runner {
            process: self.process.clone(),
            kind: self.profile.kind,
            pid: u64::from(std::process::id()),
            output: self.output.clone(),
            closes: 0,
        };
        loop {
            let step = tokio::select! {
                biased;
                step = script.next() => step,
                end = self.process.ended() => return Some(Next::Exit(self.code_of(&end))),
            };
            let step = match step {
                Ok(step) => step?,
                Err(error) => {
                    let fields = [("reason", json!(error.to_string()))];
                    self.output.line("script_error", &fields).await;
                    return Some(Next::Exit(USAGE));
                }
            };
            let line = step.line;
            match runner.step(step).await {
                Ok(()) => {}
                Err(Stopped::Stop) => return Some(Next::Stop),
                Err(Stopped::Exit(code)) => return Some(Next::Exit(code)),
                Err(Stopped::End(end)) => return Some(Next::Exit(self.code_of(&end))),
                Err(Stopped::Failed(reason)) => {
                    let fields = [("line", json!(line)), ("reason", json!(reason))];
                    self.output.line("failed", &fields).await;
                    return Some(Next::Exit(WAIT_FAILED));
                }
            }
        }
    }

    async fn stop(&self) -> u8 {
        if self.process.state().borrow().entrypoint.is_none() {
            // Nobody has heard of the process yet.
            return 0;
        }
        if let Err(end) = process::stop(&self.process, &self.profile).await {
            return self.code_of(&end);
        }
        if self.args.no_wait {
            return 0;
        }
        let limit = Duration::from_secs(self.args.stop_timeout);
        match timeout(limit, self.process.wait_all_delivered()).await {
            Ok(Ok(())) => 0,
            Ok(Err(end)) => self.code_of(&end),
            Err(_) => {
                let unacked = self.process.state().borrow().unacked;
                let reason = format!("waited {limit:?} for the delivery of {unacked} messages");
                self.output
                    .line("failed", &[("reason", json!(reason))])
                    .await;
                WAIT_FAILED
            }
        }
    }

    fn code_of(&self, end: &End) -> u8 {
        match end {
            End::Closed => 0,
            End::Absent => ABSENT,
            End::BadFrame(_) => BAD_FRAME,
            End::ConnectTimeout { .. } => NO_CONNECTION,
            End::Unsendable(_) => USAGE,
        }
    }
}
