//! Scripts: one command per line, `#` begins a comment.
//!
//! | command | |
//! |---|---|
//! | `entrypoint [once]` | asks until rc is 0, or once |
//! | `event EVENT [TYPE] [FID]` | EVENT_PROCESS, of itself if nothing else is said |
//! | `service-event EVENT TYPE FID` | EVENT_SERVICE |
//! | `nvec-get FID…`, `nvec-get-range FID COUNT` | waits for the answer |
//! | `nvec-set FID=STATE…` | |
//! | `failvec POOL` | waits for the answer |
//! | `keepalive-req`, `be-io-err [ERRCODE]`, `sns-err [ERRCODE]`, `stob-ioq SDEV [RC]`, `rpc-event FID [ATTEMPTS [STATE]]` | |
//! | `async COMMAND` | `entrypoint`, `nvec-get…` or `failvec` without waiting |
//! | `wait FID=STATE [TIMEOUT]` | until the bridge has told this state last |
//! | `wait-delivered [TIMEOUT]` | until all that was sent is delivered |
//! | `wait-message NAME [COUNT [TIMEOUT]]` | until so many of the kind have come |
//! | `sleep MS` | |
//! | `disconnect [MS]` | drops the connection; connects again after that time |
//! | `stall on`, `stall off` | stops reading, goes on |
//! | `raw HEX` | bytes as they are |
//! | `expect-state FID=STATE…` | the state told last, now |
//! | `expect-link STATUS [TIMEOUT]` | how the last connection got its link |
//! | `expect-entrypoint KEY=VALUE…` | of the last reply: `rc`, `quorum`, `confds` (their number), `rm` |
//! | `expect-closed [TIMEOUT]` | the bridge closes a connection |
//! | `expect-absent [TIMEOUT]` | the bridge has dropped the link; ends the script |
//! | `echo TEXT…` | a line of output |
//! | `stop` | orderly end |
//! | `exit [CODE]`, `die` | at once; `die` by SIGKILL |
//!
//! A TIMEOUT is in seconds, or has a unit: `500ms`, `2s`; 60 s if not given. An
//! event or a state is a number, or Motr's name with or without its prefix.

pub(crate) mod run;
#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::time::Duration;

use halink::{Fid, HaState, ProcessEvent, ProcessType, ServiceEvent};
use thiserror::Error;

use super::service;
use super::wire::{LinkStatus, NOTES_MAX, Note};

/// Bytes of a line at most: a GET of 1,024 objects fits.
pub const LINE_MAX: usize = 64 * 1024;
/// What a wait takes if the script does not say.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A script is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ScriptError {
    pub line: usize,
    pub column: usize,
    pub reason: String,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Entrypoint {
        once: bool,
    },
    Event {
        event: u64,
        kind: Option<u64>,
        fid: Option<Fid>,
    },
    ServiceEvent {
        event: u64,
        kind: u64,
        fid: Fid,
    },
    NvecGet(Vec<Fid>),
    NvecSet(Vec<Note>),
    FailureVec(Fid),
    KeepaliveReq,
    BeIoErr {
        errcode: u32,
    },
    SnsErr {
        errcode: u32,
    },
    StobIoq {
        sdev: Fid,
        rc: i64,
    },
    RpcEvent {
        fid: Fid,
        attempts: u64,
        state: u64,
    },
    Async(Box<Command>),
    Wait {
        note: Note,
        timeout: Duration,
    },
    WaitDelivered {
        timeout: Duration,
    },
    WaitMessage {
        name: String,
        count: u64,
        timeout: Duration,
    },
    Sleep(Duration),
    Disconnect(Duration),
    Stall(bool),
    Raw(Vec<u8>),
    ExpectState(Vec<Note>),
    ExpectLink {
        status: LinkStatus,
        timeout: Duration,
    },
    ExpectEntrypoint(Vec<Expected>),
    ExpectClosed {
        timeout: Duration,
    },
    ExpectAbsent {
        timeout: Duration,
    },
    Echo(String),
    Stop,
    Exit(u8),
    Die,
}

/// A field of an entrypoint reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Rc(i32),
    Quorum(u32),
    Confds(usize),
    Rm(Fid),
}

/// A command and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub line: usize,
    pub command: Command,
}

/// Parses a whole script.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(text: &str) -> Result<Vec<Step>, ScriptError> {
    text.lines()
        .enumerate()
        .filter_map(|(i, line)| parse_line(i + 1, line).transpose())
        .collect()
}

/// Parses one line; `None` if it is empty or a comment.
///
/// # Errors
/// What is wrong with it.
pub fn parse_line(line: usize, text: &str) -> Result<Option<Step>, ScriptError> {
    let mut words = Words { line, text, at: 0 };
    if text.len() > LINE_MAX {
        return Err(words.error(0, format!("line is above {LINE_MAX} bytes")));
    }
    let Some((column, name)) = words.next_word() else {
        return Ok(None);
    };
    let command = words.command(column, name)?;
    match words.next_word() {
        Some((at, word)) => Err(words.error(at, format!("{word:?} is too much"))),
        None => Ok(Some(Step { line, command })),
    }
}

struct Words<'a> {
    line: usize,
    text: &'a str,
    at: usize,
}

type Word<'a> = (usize, &'a str);

impl<'a> Words<'a> {
    /// Next word and its offset.
    fn next_word(&mut self) -> Option<Word<'a>> {
        let rest = &self.text[self.at..];
        let start = self.at + (rest.len() - rest.trim_start().len());
        let word = self.text[start..]
            .split(char::is_whitespace)
            .next()
            .unwrap_or("");
        if word.is_empty() || word.starts_with('#') {
            self.at = self.text.len();
            return None;
        }
        self.at = start + word.len();
        Some((start, word))
    }

    fn error(&self, at: usize, reason: String) -> ScriptError {
        let column = self
            .text
            .get(..at)
            .map_or(at, |before| before.chars().count())
            + 1;
        ScriptError {
            line: self.line,
            column,
            reason,
        }
    }

    /// A word that must be there and be read by `read`.
    fn want<T>(&mut self, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, ScriptError> {
        match self.next_word() {
            Some(word) => self.read(word, what, read),
            None => Err(self.error(self.text.trim_end().len(), format!("{what} is missing"))),
        }
    }

    fn maybe<T>(
        &mut self,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ScriptError> {
        self.next_word()
            .map(|word| self.read(word, what, read))
            .transpose()
    }

    fn read<T>(
        &self,
        (at, word): Word<'_>,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ScriptError> {
        read(word).ok_or_else(|| self.error(at, format!("{word:?} is no {what}")))
    }

    /// One or more.
    fn list<T>(
        &mut self,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ScriptError> {
        let mut list = vec![self.want(what, &read)?];
        while let Some(word) = self.next_word() {
            if list.len() == NOTES_MAX {
                return Err(self.error(word.0, format!("more than {NOTES_MAX}")));
            }
            list.push(self.read(word, what, &read)?);
        }
        Ok(list)
    }

    fn timeout(&mut self) -> Result<Duration, ScriptError> {
        Ok(self.maybe("timeout", timeout)?.unwrap_or(TIMEOUT))
    }

    fn command(&mut self, column: usize, name: &str) -> Result<Command, ScriptError> {
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
            "echo" => {
                let text = self.text[self.at..].trim().to_owned();
                self.at = self.text.len();
                Command::Echo(text)
            }
            "stop" => Command::Stop,
            "exit" => Command::Exit(self.maybe("exit code", number)?.unwrap_or(0)),
            "die" => Command::Die,
            _ => return Err(self.error(column, format!("{name:?} is no command"))),
        })
    }

    fn asynchronous(&mut self) -> Result<Command, ScriptError> {
        let end = self.text.trim_end().len();
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

fn number<T: FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

fn range(first: Fid, count: u64) -> Vec<Fid> {
    let keys = (0..count).map(|i| first.key().wrapping_add(i));
    keys.map(|key| Fid::new(first.container(), key)).collect()
}

fn timeout(word: &str) -> Option<Duration> {
    // Beyond a year the sum of time and now may not be representable.
    const MAX_MS: u64 = 365 * 86_400_000;
    let (digits, unit) = match word.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (word.strip_suffix('s').unwrap_or(word), 1_000),
    };
    let ms = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (ms <= MAX_MS).then(|| Duration::from_millis(ms))
}

/// A name of Motr with or without its prefix, or a number.
fn named<T: Copy + ToString, N: FromStr>(
    word: &str,
    all: &[T],
    prefix: &str,
    raw: impl Fn(T) -> N,
) -> Option<N> {
    let upper = word.to_ascii_uppercase();
    let found = all.iter().find(|value| {
        let name = value.to_string();
        name == upper || name.strip_prefix(prefix) == Some(&upper)
    });
    found.map(|value| raw(*value)).or_else(|| word.parse().ok())
}

fn process_event(word: &str) -> Option<u64> {
    named(
        word,
        ProcessEvent::ALL,
        "M0_CONF_HA_PROCESS_",
        ProcessEvent::raw,
    )
}

fn process_type(word: &str) -> Option<u64> {
    named(
        word,
        ProcessType::ALL,
        "M0_CONF_HA_PROCESS_",
        ProcessType::raw,
    )
}

fn service_event(word: &str) -> Option<u64> {
    named(
        word,
        ServiceEvent::ALL,
        "M0_CONF_HA_SERVICE_",
        ServiceEvent::raw,
    )
}

fn note(word: &str) -> Option<Note> {
    let (object, state) = word.split_once('=')?;
    let state = named(state, HaState::ALL, "M0_NC_", HaState::raw)?;
    Some(Note {
        object: object.parse().ok()?,
        state,
    })
}

fn link_status(word: &str) -> Option<LinkStatus> {
    let all = [
        LinkStatus::Connected,
        LinkStatus::Reused,
        LinkStatus::Absent,
    ];
    all.into_iter()
        .find(|status| status.name().eq_ignore_ascii_case(word))
}

fn expected(word: &str) -> Option<Expected> {
    let (key, value) = word.split_once('=')?;
    match key {
        "rc" => value.parse().ok().map(Expected::Rc),
        "quorum" => value.parse().ok().map(Expected::Quorum),
        "confds" => value.parse().ok().map(Expected::Confds),
        "rm" => value.parse().ok().map(Expected::Rm),
        _ => None,
    }
}

fn hex(word: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = word
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
