//! What each command is followed by.

use std::time::Duration;

use super::values::{
    expected, hex, link_status, note, number, process_event, process_type, range, service_event,
    timeout,
};
use super::words::Words;
use super::{Command, ScriptError};
use crate::sim::service;

/// What a wait takes if the script does not say.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Words<'_> {
    fn timeout(&mut self) -> Result<Duration, ScriptError> {
        Ok(self.maybe("timeout", timeout)?.unwrap_or(TIMEOUT))
    }

    /// Reads what follows the `name` of a command, which stands at `column`.
    pub(super) fn command(&mut self, column: usize, name: &str) -> Result<Command, ScriptError> {
        Ok(match name {
            "entrypoint" => {
                let once = self.maybe("`once`", |word| (word == "once").then_some(()))?;
                Command::Entrypoint {
                    once: once.is_some(),
                }
            }
            "event" => Command::Event {
                event: self.want("process event", process_event)?,
                kind: self.maybe("process type", process_type)?,
                fid: self.maybe("fid", number)?,
            },
            "service-event" => Command::ServiceEvent {
                event: self.want("service event", service_event)?,
                kind: self.want("service type", service::parse)?,
                fid: self.want("fid", number)?,
            },
            "nvec-get" => Command::NvecGet(self.list("fid", number)?),
            "nvec-get-range" => {
                let fid = self.want("fid", number)?;
                let count = self.want("count from 1 to 1024", |word| {
                    number::<u64>(word).filter(|n| (1..=1024).contains(n))
                })?;
                Command::NvecGet(range(fid, count))
            }
            "nvec-set" => Command::NvecSet(self.list("FID=STATE", note)?),
            "failvec" => Command::FailureVec(self.want("fid", number)?),
            "keepalive-req" => Command::KeepaliveReq,
            "be-io-err" => Command::BeIoErr {
                errcode: self.maybe("errcode", number)?.unwrap_or(5),
            },
            "sns-err" => Command::SnsErr {
                errcode: self.maybe("errcode", number)?.unwrap_or(5),
            },
            "stob-ioq" => Command::StobIoq {
                sdev: self.want("fid", number)?,
                rc: self.maybe("rc", number)?.unwrap_or(-5),
            },
            "rpc-event" => Command::RpcEvent {
                fid: self.want("fid", number)?,
                attempts: self.maybe("number of attempts", number)?.unwrap_or(1),
                state: self.maybe("state", number)?.unwrap_or(3),
            },
            "async" => self.asynchronous()?,
            "wait" => Command::Wait {
                note: self.want("FID=STATE", note)?,
                timeout: self.timeout()?,
            },
            "wait-delivered" => Command::WaitDelivered {
                timeout: self.timeout()?,
            },
            "wait-message" => Command::WaitMessage {
                name: self.want("message", |word| Some(word.to_owned()))?,
                count: self.maybe("count", number)?.unwrap_or(1),
                timeout: self.timeout()?,
            },
            "sleep" => Command::Sleep(Duration::from_millis(self.want("number of ms", number)?)),
            "disconnect" => {
                let away = self.maybe("number of ms", number)?.unwrap_or(0);
                Command::Disconnect(Duration::from_millis(away))
            }
            "stall" => Command::Stall(self.want("`on` or `off`", |word| match word {
                "on" => Some(true),
                "off" => Some(false),
                _ => None,
            })?),
            "raw" => Command::Raw(self.list("run of hexadecimal bytes", hex)?.concat()),
            "expect-state" => Command::ExpectState(self.list("FID=STATE", note)?),
            "expect-link" => Command::ExpectLink {
                status: self.want("link status", link_status)?,
                timeout: self.timeout()?,
            },
            "expect-entrypoint" => {
                Command::ExpectEntrypoint(self.list("rc=, quorum=, confds= or rm=", expected)?)
            }
            "expect-closed" => Command::ExpectClosed {
                timeout: self.timeout()?,
            },
            "expect-absent" => Command::ExpectAbsent {
                timeout: self.timeout()?,
            },
            "echo" => Command::Echo(self.rest().to_owned()),
            "stop" => Command::Stop,
            "exit" => Command::Exit(self.maybe("exit code", number)?.unwrap_or(0)),
            "die" => Command::Die,
            _ => return Err(self.error(column, format!("{name:?} is no command"))),
        })
    }

    fn asynchronous(&mut self) -> Result<Command, ScriptError> {
        let end = self.end();
        let Some((at, name)) = self.next_word() else {
            return Err(self.error(end, "command is missing".into()));
        };
        match self.command(at, name)? {
            command @ (Command::Entrypoint { .. }
            | Command::NvecGet(_)
            | Command::FailureVec(_)) => Ok(Command::Async(Box::new(command))),
            _ => Err(self.error(at, format!("{name:?} waits for nothing"))),
        }
    }
}
