//! Reading frames.

use halink::Fid;

use super::{
    Body, CONFDS_MAX, ConfEvent, Confd, EntrypointRep, EntrypointReq, Frame, HEADER_LEN,
    LinkStatus, MAGIC, Msg, NOTES_MAX, Note, PAYLOAD_MAX, STR_MAX, StobIoq, VERSION, WireError,
    check_count, check_str,
};

impl Frame {
    /// Takes the first frame of `bytes`.
    ///
    /// Returns the frame and its length in bytes, or `None` if more bytes are
    /// needed. A bad header is told as soon as it is complete.
    ///
    /// # Errors
    /// The bytes are not a frame of 6/WIRE.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Frame, usize)>, WireError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [
            m0,
            m1,
            m2,
            m3,
            v0,
            v1,
            t0,
            t1,
            l0,
            l1,
            l2,
            l3,
            r0,
            r1,
            r2,
            r3,
        ] = *header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(WireError::Magic([m0, m1, m2, m3]));
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let frame_type = u16::from_le_bytes([t0, t1]);
        if !(1..=4).contains(&frame_type) {
            return Err(WireError::FrameType(frame_type));
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > PAYLOAD_MAX {
            return Err(WireError::PayloadTooLong(len));
        }
        let reserved = u32::from_le_bytes([r0, r1, r2, r3]);
        if reserved != 0 {
            return Err(WireError::Reserved(reserved));
        }
        let end = HEADER_LEN + len;
        let Some(payload) = bytes.get(HEADER_LEN..end) else {
            return Ok(None);
        };
        let mut r = Reader { rest: payload };
        let frame = match frame_type {
            1 => Frame::EntrypointReq(r.entrypoint_req()?),
            2 => Frame::EntrypointRep(r.entrypoint_rep()?),
            3 => Frame::Msg(r.msg()?),
            _ => Frame::Delivered(r.u64("tag")?),
        };
        match r.rest.len() {
            0 => Ok(Some((frame, end))),
            n => Err(WireError::Trailing(n)),
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, field: &'static str, n: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or(WireError::Short(field))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Short(field))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        Ok(self.array::<1>(field)?[0])
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, WireError> {
        Ok(i64::from_le_bytes(self.array(field)?))
    }

    fn pair(&mut self, field: &'static str) -> Result<[u64; 2], WireError> {
        Ok([self.u64(field)?, self.u64(field)?])
    }

    fn fid(&mut self, field: &'static str) -> Result<Fid, WireError> {
        let [container, key] = self.pair(field)?;
        Ok(Fid::new(container, key))
    }

    fn str(&mut self, field: &'static str) -> Result<String, WireError> {
        let len = usize::from(self.u16(field)?);
        if len > STR_MAX {
            return Err(WireError::StringTooLong { field, len });
        }
        let bytes = self.bytes(field, len)?;
        check_str(field, bytes)?;
        Ok(bytes.iter().copied().map(char::from).collect())
    }

    fn notes(&mut self) -> Result<Vec<Note>, WireError> {
        let count = self.u32("nr")? as usize;
        check_count("notes", count, NOTES_MAX)?;
        let mut notes = Vec::with_capacity(count);
        for _ in 0..count {
            notes.push(Note {
                object: self.fid("note")?,
                state: self.u32("note")?,
            });
        }
        Ok(notes)
    }

    fn entrypoint_req(&mut self) -> Result<EntrypointReq, WireError> {
        Ok(EntrypointReq {
            seq: self.u64("seq")?,
            first: match self.u8("first")? {
                0 => false,
                1 => true,
                v => {
                    return Err(WireError::Value {
                        field: "first",
                        value: v.into(),
                    });
                }
            },
            instance: self.u64("instance")?,
            link: self.u64("link")?,
            process: self.fid("process")?,
            pid: self.u64("pid")?,
            endpoint: self.str("endpoint")?,
            git_rev: self.str("git_rev")?,
        })
    }

    fn entrypoint_rep(&mut self) -> Result<EntrypointRep, WireError> {
        let seq = self.u64("seq")?;
        let rc = i32::from_le_bytes(self.array("rc")?);
        if rc > 0 {
            return Err(WireError::Value {
                field: "rc",
                value: rc.into(),
            });
        }
        let status = match self.u8("status")? {
            0 => LinkStatus::Connected,
            1 => LinkStatus::Reused,
            2 => LinkStatus::Absent,
            v => {
                return Err(WireError::Value {
                    field: "status",
                    value: v.into(),
                });
            }
        };
        let instance = self.u64("instance")?;
        if instance == 0 {
            return Err(WireError::Value {
                field: "instance",
                value: 0,
            });
        }
        let link = self.u64("link")?;
        if link == 0 && status != LinkStatus::Absent {
            return Err(WireError::Value {
                field: "link",
                value: 0,
            });
        }
        let quorum = self.u32("quorum")?;
        let rm = self.fid("rm")?;
        let rm_endpoint = self.str("rm_endpoint")?;
        let count = usize::from(self.u16("nr")?);
        check_count("confds", count, CONFDS_MAX)?;
        let mut confds = Vec::with_capacity(count);
        for _ in 0..count {
            confds.push(Confd {
                fid: self.fid("confd")?,
                endpoint: self.str("confd endpoint")?,
            });
        }
        Ok(EntrypointRep {
            seq,
            rc,
            status,
            instance,
            link,
            quorum,
            rm,
            rm_endpoint,
            confds,
        })
    }

    fn msg(&mut self) -> Result<Msg, WireError> {
        let tag = self.u64("tag")?;
        let msg_type = self.u32("type")?;
        Ok(Msg {
            tag,
            fid: self.fid("fid")?,
            source_process: self.fid("source_process")?,
            source_service: self.fid("source_service")?,
            time: self.u64("time")?,
            epoch: self.u64("epoch")?,
            body: self.body(msg_type)?,
        })
    }

    fn conf_event(&mut self) -> Result<ConfEvent, WireError> {
        Ok(ConfEvent {
            event: self.u64("event")?,
            kind: self.u64("type")?,
            pid: self.u64("pid")?,
        })
    }

    fn body(&mut self, msg_type: u32) -> Result<Body, WireError> {
        Ok(match msg_type {
            1 => Body::StobIoq(StobIoq {
                conf_sdev: self.fid("conf_sdev")?,
                stob_domain: self.fid("stob_domain")?,
                stob: self.fid("stob")?,
                fd: self.i64("fd")?,
                opcode: self.i64("opcode")?,
                rc: self.i64("rc")?,
                offset: self.u64("offset")?,
                size: self.u64("size")?,
                bshift: self.u32("bshift")?,
            }),
            2 => Body::Nvec {
                kind: self.u64("type")?,
                id_of_get: self.u64("id_of_get")?,
                ignore_same_state: self.u64("ignore_same_state")?,
                notes: self.notes()?,
            },
            3 => Body::FailureVecReq {
                pool: self.fid("pool")?,
                cookie: self.pair("cookie")?,
            },
            4 => Body::FailureVecRep {
                pool: self.fid("pool")?,
                cookie: self.pair("cookie")?,
                notes: self.notes()?,
            },
            5 => Body::KeepaliveReq {
                id: self.pair("id")?,
            },
            6 => Body::KeepaliveRep {
                id: self.pair("id")?,
                counter: self.u64("counter")?,
            },
            7 => Body::Process(self.conf_event()?),
            8 => Body::Service(self.conf_event()?),
            9 => Body::Rpc {
                attempts: self.u64("attempts")?,
                state: self.u64("state")?,
            },
            10 => Body::BeIoErr {
                errcode: self.u32("errcode")?,
                location: self.u8("location")?,
                io_opcode: self.u8("io_opcode")?,
            },
            11 => Body::SnsErr {
                errcode: self.u32("errcode")?,
                opcode: self.u8("opcode")?,
            },
            other => return Err(WireError::MessageType(other)),
        })
    }
}
