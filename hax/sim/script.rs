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

mod grammar;
pub(crate) mod run;
#[cfg(test)]
mod tests;
mod values;
mod words;

use std::time::Duration;

use halink::Fid;
use thiserror::Error;

use self::words::Words;
use super::wire::{LinkStatus, Note};

/// Bytes of a line at most: a GET of 1,024 objects fits.
pub const LINE_MAX: usize = 64 * 1024;

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
    let mut words = Words::new(line, text);
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
