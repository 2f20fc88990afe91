//! What the handle of a process asks of its task.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::sim::wire::{EntrypointRep, Msg, Note};

/// The answer a sent message waits for, beside being delivered.
pub(crate) enum Answer {
    Get {
        id: u64,
        to: oneshot::Sender<Vec<Note>>,
    },
    FailureVec {
        cookie: [u64; 2],
        to: oneshot::Sender<Vec<Note>>,
    },
}

pub(crate) enum Command {
    Entrypoint {
        until_ok: bool,
        to: oneshot::Sender<EntrypointRep>,
    },
    Send {
        msg: Box<Msg>,
        accepted: oneshot::Sender<u64>,
        delivered: oneshot::Sender<()>,
        answer: Option<Answer>,
    },
    Delivered {
        generation: u64,
        tag: u64,
    },
    Raw(Vec<u8>),
    Stall(bool),
    Disconnect(Duration),
    Close,
}
