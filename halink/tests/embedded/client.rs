//! A process at the other end of the socket: rfc/6-wire.md, written down a second time.

use std::path::Path;

use halink::Fid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

pub(crate) const ENTRYPOINT_REQ: u16 = 1;
pub(crate) const MSG: u16 = 3;
pub(crate) const DELIVERED: u16 = 4;

pub(crate) const CONNECTED: u8 = 0;
pub(crate) const REUSED: u8 = 1;

/// Builds a payload.
#[derive(Default, Clone)]
pub(crate) struct Payload(pub(crate) Vec<u8>);

impl Payload {
    pub(crate) fn u8(mut self, value: u8) -> Payload {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Payload {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Payload {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Payload {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn fid(self, fid: Fid) -> Payload {
        self.u64(fid.container()).u64(fid.key())
    }

    pub(crate) fn str(mut self, text: &str) -> Payload {
        self = self.u16(u16::try_from(text.len()).unwrap());
        self.0.extend(text.as_bytes());
        self
    }
}

/// Takes a payload apart.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, tail) = self
            .0
            .split_first_chunk::<N>()
            .expect("payload is too short");
        self.0 = tail;
        *head
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(crate) fn fid(&mut self) -> Fid {
        Fid::new(self.u64(), self.u64())
    }

    pub(crate) fn str(&mut self) -> String {
        let (head, tail) = {
            let len = self.u16().into();
            self.0.split_at(len)
        };
        self.0 = tail;
        String::from_utf8(head.to_vec()).unwrap()
    }

    pub(crate) fn end(&self) {
        assert!(self.0.is_empty(), "payload is too long");
    }
}

/// ENTRYPOINT_REP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) seq: u64,
    pub(crate) rc: i32,
    pub(crate) status: u8,
    pub(crate) quorum: u32,
    pub(crate) rm: Fid,
    pub(crate) rm_endpoint: String,
    pub(crate) confds: Vec<(Fid, String)>,
    instance: u64,
    link: u64,
}

/// MSG without its body.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) tag: u64,
    pub(crate) msg_type: u32,
    pub(crate) fid: Fid,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Frame {
    Reply(Reply),
    Message(Message),
    Delivered(u64),
}

/// One incarnation of a process.
pub(crate) struct Client {
    pub(crate) process: Fid,
    stream: UnixStream,
    seq: u64,
    tag: u64,
    instance: u64,
    link: u64,
    /// Messages not delivered yet: tag and payload.
    pub(crate) undelivered: Vec<(u64, Payload)>,
}

impl Client {
    pub(crate) async fn connect(socket: &Path, process: Fid) -> Client {
        let stream = UnixStream::connect(socket).await.unwrap();
        Client {
            process,
            stream,
            seq: 0,
            tag: 0,
            instance: 0,
            link: 0,
            undelivered: Vec::new(),
        }
    }

    /// Connects, and has its first request answered.
    pub(crate) async fn bound(socket: &Path, process: Fid) -> Client {
        let mut client = Client::connect(socket, process).await;
        assert_eq!(client.entrypoint().await.rc, 0);
        client
    }

    /// Goes on over a new connection.
    pub(crate) async fn reconnect(&mut self, socket: &Path) {
        self.stream = UnixStream::connect(socket).await.unwrap();
    }

    pub(crate) async fn frame(&mut self, frame_type: u16, payload: &[u8]) {
        let header = Payload(b"HAXL".to_vec())
            .u16(1)
            .u16(frame_type)
            .u32(u32::try_from(payload.len()).unwrap())
            .u32(0);
        // One write: the bridge may close the connection after any frame.
        let frame = [header.0.as_slice(), payload].concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    pub(crate) async fn request(&mut self) -> u64 {
        self.seq += 1;
        let payload = Payload::default()
            .u64(self.seq)
            .u8(u8::from(self.link == 0))
            .u64(self.instance)
            .u64(self.link)
            .fid(self.process)
            .u64(4321)
            .str("inet:tcp:127.0.0.1@22101")
            .str("0123abcd");
        self.frame(ENTRYPOINT_REQ, &payload.0).await;
        self.seq
    }

    /// Asks for the entrypoint; the reply is the next frame.
    pub(crate) async fn entrypoint(&mut self) -> Reply {
        let seq = self.request().await;
        match self.receive().await {
            Some(Frame::Reply(reply)) => {
                assert_eq!(reply.seq, seq);
                reply
            }
            other => panic!("not a reply: {other:?}"),
        }
    }

    /// Sends a message, and returns its tag.
    pub(crate) async fn message(&mut self, msg_type: u32, fid: Fid, body: &Payload) -> u64 {
        self.tag += 2;
        let mut payload = Payload::default()
            .u64(self.tag)
            .u32(msg_type)
            .fid(fid)
            .fid(self.process)
            .fid(Fid::NIL)
            .u64(1_700_000_000_000_000_000)
            .u64(3);
        payload.0.extend(&body.0);
        self.frame(MSG, &payload.0).await;
        self.undelivered.push((self.tag, payload));
        self.tag
    }

    /// Sends again what is not delivered.
    pub(crate) async fn resend(&mut self) {
        for (_, payload) in self.undelivered.clone() {
            self.frame(MSG, &payload.0).await;
        }
    }

    pub(crate) async fn delivered(&mut self, tag: u64) {
        self.frame(DELIVERED, &Payload::default().u64(tag).0).await;
    }

    /// The next frame; none if the connection is closed.
    pub(crate) async fn receive(&mut self) -> Option<Frame> {
        let mut header = [0; 16];
        self.stream.read_exact(&mut header).await.ok()?;
        let mut reader = Reader(&header);
        assert_eq!(&reader.take(), b"HAXL");
        assert_eq!(reader.u16(), 1);
        let frame_type = reader.u16();
        let mut payload = vec![0; reader.u32() as usize];
        assert_eq!(reader.u32(), 0);
        self.stream.read_exact(&mut payload).await.ok()?;
        let mut reader = Reader(&payload);
        Some(match frame_type {
            2 => {
                let reply = read_reply(&mut reader);
                (self.instance, self.link) = (reply.instance, reply.link);
                Frame::Reply(reply)
            }
            MSG => {
                let tag = reader.u64();
                let msg_type = reader.u32();
                let fid = reader.fid();
                for _ in 0..2 {
                    reader.fid();
                }
                for _ in 0..2 {
                    reader.u64();
                }
                Frame::Message(Message {
                    tag,
                    msg_type,
                    fid,
                    body: reader.0.to_vec(),
                })
            }
            DELIVERED => {
                let tag = reader.u64();
                reader.end();
                self.undelivered
                    .retain(|(undelivered, _)| *undelivered != tag);
                Frame::Delivered(tag)
            }
            other => panic!("frame of type {other}"),
        })
    }

    pub(crate) async fn receive_message(&mut self) -> Message {
        match self.receive().await {
            Some(Frame::Message(message)) => message,
            other => panic!("not a message: {other:?}"),
        }
    }

    pub(crate) async fn receive_delivered(&mut self) -> u64 {
        match self.receive().await {
            Some(Frame::Delivered(tag)) => tag,
            other => panic!("not DELIVERED: {other:?}"),
        }
    }
}

fn read_reply(reader: &mut Reader<'_>) -> Reply {
    let seq = reader.u64();
    let rc = i32::from_le_bytes(reader.take());
    let (status, instance, link) = (reader.u8(), reader.u64(), reader.u64());
    let (quorum, rm, rm_endpoint) = (reader.u32(), reader.fid(), reader.str());
    let nr = reader.u16();
    let confds = (0..nr).map(|_| (reader.fid(), reader.str())).collect();
    reader.end();
    Reply {
        seq,
        rc,
        status,
        quorum,
        rm,
        rm_endpoint,
        confds,
        instance,
        link,
    }
}
