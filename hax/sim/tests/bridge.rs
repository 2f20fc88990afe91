use std::path::PathBuf;
use std::time::Duration;

use halink::Fid;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::sim::client::Config;
use crate::sim::endpoint::Endpoint;
use crate::sim::link::{Identity, draft};
use crate::sim::wire::*;

pub(super) const PROCESS: Fid = Fid::new(0x7200_0000_0000_0001, 3);
pub(super) const CONFD: Fid = Fid::new(0x7300_0000_0000_0001, 3);
pub(super) const RM: Fid = Fid::new(0x7300_0000_0000_0001, 4);

/// A socket in a directory of its own.
pub(super) struct Bridge {
    dir: TempDir,
    listener: UnixListener,
}

impl Bridge {
    pub(super) fn new() -> Bridge {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("ha")).unwrap();
        Bridge { dir, listener }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("ha")
    }

    pub(super) fn config(&self) -> Config {
        config(self.path())
    }

    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer {
            stream,
            input: Vec::new(),
            next_tag: 1,
        }
    }
}

pub(super) fn config(path: PathBuf) -> Config {
    Config {
        ha: Endpoint::Unix(path),
        identity: Identity {
            process: PROCESS,
            pid: 42,
            endpoint: "inet:tcp:127.0.0.1@22201".into(),
            git_rev: "test".into(),
        },
        connect_timeout: Duration::from_secs(60),
        hold_entrypoint: false,
        auto_deliver: true,
    }
}

/// The bridge's end of one connection.
pub(super) struct Peer {
    stream: UnixStream,
    input: Vec<u8>,
    pub(super) next_tag: u64,
}

impl Peer {
    /// Next frame; `None` when the process has closed the connection.
    pub(super) async fn try_recv(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = Frame::decode(&self.input).unwrap() {
                self.input.drain(..len);
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(super) async fn recv(&mut self) -> Frame {
        self.try_recv()
            .await
            .expect("the process closed the connection")
    }

    pub(super) async fn request(&mut self) -> EntrypointReq {
        match self.recv().await {
            Frame::EntrypointReq(req) => req,
            other => panic!("not a request: {other:?}"),
        }
    }

    pub(super) async fn message(&mut self) -> Msg {
        match self.recv().await {
            Frame::Msg(msg) => msg,
            other => panic!("not a message: {other:?}"),
        }
    }

    pub(super) async fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        self.bytes(&bytes).await;
    }

    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        // The process may be gone already, on purpose.
        let _ = self.stream.write_all(bytes).await;
    }

    pub(super) async fn reply(&mut self, seq: u64, rc: i32, status: LinkStatus, instance: u64) {
        let confds = vec![Confd {
            fid: CONFD,
            endpoint: "inet:tcp:127.0.0.1@22101".into(),
        }];
        let rep = EntrypointRep {
            seq,
            rc,
            status,
            instance,
            link: 1,
            quorum: 1,
            rm: RM,
            rm_endpoint: "inet:tcp:127.0.0.1@22101".into(),
            confds,
        };
        self.send(&Frame::EntrypointRep(rep)).await;
    }

    /// Answers the first request of the connection.
    pub(super) async fn bind(&mut self, status: LinkStatus, instance: u64) -> EntrypointReq {
        let req = self.request().await;
        self.reply(req.seq, 0, status, instance).await;
        req
    }

    pub(super) async fn send_body(&mut self, body: Body) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 2;
        let msg = Msg {
            tag,
            ..draft(Fid::NIL, Fid::NIL, Fid::NIL, 0, body)
        };
        self.send(&Frame::Msg(msg)).await;
        tag
    }

    pub(super) async fn set(&mut self, object: Fid, state: u32) -> u64 {
        let notes = vec![Note { object, state }];
        self.send_body(Body::Nvec {
            kind: NVEC_SET,
            id_of_get: 0,
            ignore_same_state: 1,
            notes,
        })
        .await
    }

    /// Does what a bridge does for one frame: replies, states, vectors, DELIVERED.
    pub(super) async fn serve(&mut self, frame: &Frame) {
        match frame {
            Frame::EntrypointReq(req) => {
                let status = if req.first {
                    LinkStatus::Connected
                } else {
                    LinkStatus::Reused
                };
                self.reply(req.seq, 0, status, 1).await;
            }
            Frame::Msg(msg) => {
                match &msg.body {
                    Body::Nvec {
                        kind: NVEC_GET,
                        id_of_get,
                        notes,
                        ..
                    } => {
                        let notes = notes
                            .iter()
                            .map(|note| Note { state: 1, ..*note })
                            .collect();
                        self.send_body(Body::Nvec {
                            kind: NVEC_SET,
                            id_of_get: *id_of_get,
                            ignore_same_state: 1,
                            notes,
                        })
                        .await;
                    }
                    Body::FailureVecReq { pool, cookie } => {
                        let (pool, cookie) = (*pool, *cookie);
                        self.send_body(Body::FailureVecRep {
                            pool,
                            cookie,
                            notes: vec![],
                        })
                        .await;
                    }
                    _ => {}
                }
                self.send(&Frame::Delivered(msg.tag)).await;
            }
            _ => {}
        }
    }
}

impl Peer {
    /// Bytes as they come.
    pub(super) async fn take_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert_ne!(self.stream.read_buf(&mut bytes).await.unwrap(), 0);
        bytes
    }
}
