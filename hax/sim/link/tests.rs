//! Tests of the link.

mod model;
mod property;
mod rules;

use halink::Fid;

use super::{Identity, draft};
use crate::sim::wire::{Body, EntrypointRep, Frame, LinkStatus, Msg};

fn identity() -> Identity {
    Identity {
        process: Fid::new(0x7200_0000_0000_0001, 3),
        pid: 1,
        endpoint: "inet:tcp:127.0.0.1@1".into(),
        git_rev: String::new(),
    }
}

/// A message that carries `n`.
fn numbered(tag: u64, n: u64) -> Msg {
    let nil = Fid::new(0, 0);
    Msg {
        tag,
        ..draft(
            nil,
            nil,
            nil,
            0,
            Body::Rpc {
                attempts: n,
                state: 0,
            },
        )
    }
}

fn number(msg: &Msg) -> u64 {
    match msg.body {
        Body::Rpc { attempts, .. } => attempts,
        _ => panic!("not a numbered message: {msg:?}"),
    }
}

fn reply(seq: u64, status: LinkStatus, instance: u64, link: u64) -> Frame {
    Frame::EntrypointRep(EntrypointRep {
        seq,
        rc: 0,
        status,
        instance,
        link,
        quorum: 1,
        rm: Fid::new(0, 0),
        rm_endpoint: String::new(),
        confds: Vec::new(),
    })
}
