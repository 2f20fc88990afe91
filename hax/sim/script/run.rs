//! Carrying out a script.

use std::future::Future;
use std::time::Duration;

use halink::{Fid, ProcessType};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Command, Expected, Step};
use crate::sim::client::{End, SimProcess, State};
use crate::sim::output::{self, Output};
use crate::sim::wire::{Body, ConfEvent, Note, StobIoq};

/// What an answer from the bridge may take.
const ANSWER: Duration = Duration::from_secs(60);

/// How a command ended, if not well.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// `stop`: the orderly end is wanted.
    Stop,
    /// `exit` or `expect-absent`.
    Exit(u8),
    /// What was waited for did not come, or what was expected is not so.
    Failed(String),
    End(End),
}

impl From<End> for Stopped {
    fn from(end: End) -> Stopped {
        Stopped::End(end)
    }
}

/// Runs commands on one process.
pub(crate) struct Runner {
    pub(crate) process: SimProcess,
    pub(crate) kind: ProcessType,
    pub(crate) pid: u64,
    pub(crate) output: Output,
    /// Connections the bridge closed that a script has seen.
    pub(crate) closes: u64,
}

impl Runner {
    pub(crate) async fn step(&mut self, step: Step) -> Result<(), Stopped> {
        let Step { line, command } = step;
        let fields = [("line", json!(line)), ("command", json!(name(&command)))];
        self.output.line("script", &fields).await;
        self.command(command).await
    }

    async fn command(&mut self, command: Command) -> Result<(), Stopped> {
        let process = &self.process;
        match command {
            Command::Event { event, kind, fid } => {
                let kind = kind.unwrap_or(self.kind.raw());
                let body = Body::Process(ConfEvent {
                    event,
                    kind,
                    pid: self.pid,
                });
                self.send(fid.unwrap_or(process.fid()), body).await?;
            }
            Command::ServiceEvent { event, kind, fid } => {
                let mut msg = process.draft(
                    fid,
                    Body::Service(ConfEvent {
                        event,
                        kind,
                        pid: self.pid,
                    }),
                );
                msg.source_process = process.fid();
                msg.source_service = fid;
                process.send(msg).await?;
            }
            Command::NvecSet(notes) => drop(process.nvec_set(notes).await?),
            Command::KeepaliveReq => {
                self.send(Fid::NIL, Body::KeepaliveReq { id: [0, 1] })
                    .await?
            }
            Command::BeIoErr { errcode } => {
                let body = Body::BeIoErr {
                    errcode,
                    location: 0,
                    io_opcode: 0,
                };
                self.send(process.fid(), body).await?;
            }
            Command::SnsErr { errcode } => {
                self.send(process.fid(), Body::SnsErr { errcode, opcode: 0 })
                    .await?;
            }
            Command::StobIoq { sdev, rc } => self.send(process.fid(), stob_ioq(sdev, rc)).await?,
            Command::RpcEvent {
                fid,
                attempts,
                state,
            } => {
                self.send(fid, Body::Rpc { attempts, state }).await?;
            }
            Command::Async(command) => {
                let process = process.clone();
                tokio::spawn(async move { ask(&process, &command).await.map(drop) });
            }
            Command::Sleep(time) => tokio::time::sleep(time).await,
            Command::Disconnect(away) => {
                let connects = process.state().borrow().connects;
                process.disconnect(away).await?;
                // What is expected after it must not be met by the connection before.
                process
                    .wait(|s| !s.connected || s.connects > connects)
                    .await?;
            }
            Command::Stall(on) => process.stall(on).await?,
            Command::Raw(bytes) => process.raw(bytes).await?,
            Command::Echo(text) => self.output.line("echo", &[("text", json!(text))]).await,
            Command::Stop => return Err(Stopped::Stop),
            Command::Exit(code) => return Err(Stopped::Exit(code)),
            Command::Die => die()?,
            Command::Entrypoint { .. } | Command::NvecGet(_) | Command::FailureVec(_) => {
                within(ANSWER, name(&command), ask(process, &command)).await?;
            }
            wait => self.wait(wait).await?,
        }
        Ok(())
    }

    async fn send(&self, fid: Fid, body: Body) -> Result<(), Stopped> {
        self.process.send(self.process.draft(fid, body)).await?;
        Ok(())
    }

    async fn wait(&mut self, command: Command) -> Result<(), Stopped> {
        match command {
            Command::Wait { note, timeout } => {
                let what = format!("{}={}", note.object, plain(note.state));
                self.until(timeout, &what, |s| is(s, &note)).await
            }
            Command::WaitDelivered { timeout } => {
                let what = "the delivery of every message";
                self.until(timeout, what, |s| s.unacked == 0).await
            }
            Command::WaitMessage {
                name,
                count,
                timeout,
            } => {
                let what = format!("{count} of {name}");
                let met = |s: &State| s.received.get(name.as_str()).copied().unwrap_or(0) >= count;
                self.until(timeout, &what, met).await
            }
            Command::ExpectLink { status, timeout } => {
                let what = format!("link status {}", status.name());
                let met = |s: &State| s.link.is_some_and(|l| l.0 == status);
                self.until(timeout, &what, met).await
            }
            Command::ExpectClosed { timeout } => {
                let closes = self.closes;
                self.until(timeout, "the bridge to close a connection", |s| {
                    s.closes > closes
                })
                .await?;
                self.closes += 1;
                Ok(())
            }
            Command::ExpectAbsent { timeout } => {
                let ended = async { Ok(self.process.ended().await) };
                match within(timeout, "link status ABSENT", ended).await? {
                    End::Absent => Err(Stopped::Exit(0)),
                    other => Err(Stopped::End(other)),
                }
            }
            Command::ExpectState(notes) => {
                let state = self.process.state();
                let state = state.borrow();
                match notes.iter().find(|note| !is(&state, note)) {
                    None => Ok(()),
                    Some(note) => {
                        let got = state.objects.get(&note.object);
                        let got = got.map_or("not told".to_owned(), |s| plain(*s));
                        let want = plain(note.state);
                        Err(Stopped::Failed(format!(
                            "{} is {got}, not {want}",
                            note.object
                        )))
                    }
                }
            }
            Command::ExpectEntrypoint(fields) => self.expect_entrypoint(&fields),
            // Every other command was carried out by the caller.
            _ => Ok(()),
        }
    }

    fn expect_entrypoint(&self, fields: &[Expected]) -> Result<(), Stopped> {
        let state = self.process.state();
        let state = state.borrow();
        let Some(rep) = &state.entrypoint else {
            return Err(Stopped::Failed("no entrypoint reply has come".into()));
        };
        for field in fields {
            let (key, got, want) = match field {
                Expected::Rc(want) => ("rc", rep.rc.to_string(), want.to_string()),
                Expected::Quorum(want) => ("quorum", rep.quorum.to_string(), want.to_string()),
                Expected::Confds(want) => {
                    ("confds", rep.confds.len().to_string(), want.to_string())
                }
                Expected::Rm(want) => ("rm", rep.rm.to_string(), want.to_string()),
            };
            if got != want {
                return Err(Stopped::Failed(format!(
                    "entrypoint {key} is {got}, not {want}"
                )));
            }
        }
        Ok(())
    }

    async fn until(
        &self,
        limit: Duration,
        what: &str,
        met: impl FnMut(&State) -> bool,
    ) -> Result<(), Stopped> {
        within(limit, what, self.process.wait(met)).await
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    future: impl Future<Output = Result<T, End>>,
) -> Result<T, Stopped> {
    match timeout(limit, future).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Stopped::Failed(format!("waited {limit:?} for {what}"))),
    }
}

/// Sends a request and waits for its answer.
async fn ask(process: &SimProcess, command: &Command) -> Result<(), End> {
    match command {
        Command::Entrypoint { once: true } => process.entrypoint_once().await.map(drop),
        Command::Entrypoint { once: false } => process.entrypoint().await.map(drop),
        Command::NvecGet(objects) => process.nvec_get(objects).await.map(drop),
        Command::FailureVec(pool) => process.failure_vec(*pool).await.map(drop),
        _ => Ok(()),
    }
}

fn is(state: &State, note: &Note) -> bool {
    state.objects.get(&note.object) == Some(&note.state)
}

fn plain(state: u32) -> String {
    match output::state(state) {
        Value::String(name) => name,
        other => other.to_string(),
    }
}

fn stob_ioq(conf_sdev: Fid, rc: i64) -> Body {
    let (stob_domain, stob) = (Fid::new(0x0100_0000_0000_0000, 1), Fid::new(1, 1));
    let fd = 3;
    Body::StobIoq(StobIoq {
        conf_sdev,
        stob_domain,
        stob,
        fd,
        opcode: 0,
        rc,
        offset: 0,
        size: 4096,
        bshift: 12,
    })
}

fn die() -> Result<(), Stopped> {
    let signal = rustix::process::Signal::KILL;
    rustix::process::kill_process(rustix::process::getpid(), signal)
        .map_err(|error| Stopped::Failed(format!("cannot die: {error}")))
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Entrypoint { .. } => "entrypoint",
        Command::Event { .. } => "event",
        Command::ServiceEvent { .. } => "service-event",
        Command::NvecGet(_) => "nvec-get",
        Command::NvecSet(_) => "nvec-set",
        Command::FailureVec(_) => "failvec",
        Command::KeepaliveReq => "keepalive-req",
        Command::BeIoErr { .. } => "be-io-err",
        Command::SnsErr { .. } => "sns-err",
        Command::StobIoq { .. } => "stob-ioq",
        Command::RpcEvent { .. } => "rpc-event",
        Command::Async(_) => "async",
        Command::Wait { .. } => "wait",
        Command::WaitDelivered { .. } => "wait-delivered",
        Command::WaitMessage { .. } => "wait-message",
        Command::Sleep(_) => "sleep",
        Command::Disconnect(_) => "disconnect",
        Command::Stall(_) => "stall",
        Command::Raw(_) => "raw",
        Command::ExpectState(_) => "expect-state",
        Command::ExpectLink { .. } => "expect-link",
        Command::ExpectEntrypoint(_) => "expect-entrypoint",
        Command::ExpectClosed { .. } => "expect-closed",
        Command::ExpectAbsent { .. } => "expect-absent",
        Command::Echo(_) => "echo",
        Command::Stop => "stop",
        Command::Exit(_) => "exit",
        Command::Die => "die",
    }
}
