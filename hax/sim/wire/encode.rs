//! Writing frames.

use halink::Fid;

use super::{
    Body, CONFDS_MAX, EntrypointRep, EntrypointReq, Frame, HEADER_LEN, LinkStatus, MAGIC, Msg,
    NOTES_MAX, Note, PAYLOAD_MAX, VERSION, WireError, check_count, check_str,
};

impl Frame {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// A string, a number of notes or confds, or the payload is above its limit;
    /// `out` is then as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let start = out.len();
        let result = self.encode_at(start, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn encode_at(&self, start: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.frame_type().to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        let mut w = Writer { out };
        match self {
            Frame::EntrypointReq(req) => w.entrypoint_req(req)?,
            Frame::EntrypointRep(rep) => w.entrypoint_rep(rep)?,
            Frame::Msg(msg) => w.msg(msg)?,
            Frame::Delivered(tag) => w.u64(*tag),
        }
        let len = out.len() - start - HEADER_LEN;
        let wire_len = u32::try_from(len).ok().filter(|_| len <= PAYLOAD_MAX);
        let wire_len = wire_len.ok_or(WireError::PayloadTooLong(len))?;
        out[start + 8..start + 12].copy_from_slice(&wire_len.to_le_bytes());
        Ok(())
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn u8(&mut self, v: u8) {
        self.out.push(v);
    }

    fn u32(&mut self, v: u32) {
        self.out.extend_from_slice(&v.to_le_bytes());
    }

    fn u64(&mut self, v: u64) {
        self.out.extend_from_slice(&v.to_le_bytes());
    }

    fn i64(&mut self, v: i64) {
        self.out.extend_from_slice(&v.to_le_bytes());
    }

    fn pair(&mut self, [hi, lo]: [u64; 2]) {
        self.u64(hi);
        self.u64(lo);
    }

    fn fid(&mut self, fid: Fid) {
        self.pair([fid.container(), fid.key()]);
    }

    fn str(&mut self, field: &'static str, s: &str) -> Result<(), WireError> {
        let len = check_str(field, s.as_bytes())?;
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(s.as_bytes());
        Ok(())
    }

    fn notes(&mut self, notes: &[Note]) -> Result<(), WireError> {
        let count = check_count("notes", notes.len(), NOTES_MAX)?;
        self.u32(count);
        for note in notes {
            self.fid(note.object);
            self.u32(note.state);
        }
        Ok(())
    }

    fn entrypoint_req(&mut self, req: &EntrypointReq) -> Result<(), WireError> {
        self.u64(req.seq);
        self.u8(u8::from(req.first));
        self.u64(req.instance);
        self.u64(req.link);
        self.fid(req.process);
        self.u64(req.pid);
        self.str("endpoint", &req.endpoint)?;
        self.str("git_rev", &req.git_rev)
    }

    fn entrypoint_rep(&mut self, rep: &EntrypointRep) -> Result<(), WireError> {
        self.u64(rep.seq);
        self.out.extend_from_slice(&rep.rc.to_le_bytes());
        self.u8(match rep.status {
            LinkStatus::Connected => 0,
            LinkStatus::Reused => 1,
            LinkStatus::Absent => 2,
        });
        self.u64(rep.instance);
        self.u64(rep.link);
        self.u32(rep.quorum);
        self.fid(rep.rm);
        self.str("rm_endpoint", &rep.rm_endpoint)?;
        let count = check_count("confds", rep.confds.len(), CONFDS_MAX)?;
        self.out.extend_from_slice(&count.to_le_bytes()[..2]);
        for confd in &rep.confds {
            self.fid(confd.fid);
            self.str("confd endpoint", &confd.endpoint)?;
        }
        Ok(())
    }

    fn msg(&mut self, msg: &Msg) -> Result<(), WireError> {
        self.u64(msg.tag);
        self.u32(msg.body.msg_type());
        self.fid(msg.fid);
        self.fid(msg.source_process);
        self.fid(msg.source_service);
        self.u64(msg.time);
        self.u64(msg.epoch);
        match &msg.body {
            Body::StobIoq(e) => {
                self.fid(e.conf_sdev);
                self.fid(e.stob_domain);
                self.fid(e.stob);
                self.i64(e.fd);
                self.i64(e.opcode);
                self.i64(e.rc);
                self.u64(e.offset);
                self.u64(e.size);
                self.u32(e.bshift);
            }
            Body::Nvec {
                kind,
                id_of_get,
                ignore_same_state,
                notes,
            } => {
                self.u64(*kind);
                self.u64(*id_of_get);
                self.u64(*ignore_same_state);
                self.notes(notes)?;
            }
            Body::FailureVecReq { pool, cookie } => {
                self.fid(*pool);
                self.pair(*cookie);
            }
            Body::FailureVecRep {
                pool,
                cookie,
                notes,
            } => {
                self.fid(*pool);
                self.pair(*cookie);
                self.notes(notes)?;
            }
            Body::KeepaliveReq { id } => self.pair(*id),
            Body::KeepaliveRep { id, counter } => {
                self.pair(*id);
                self.u64(*counter);
            }
            Body::Process(e) | Body::Service(e) => {
                self.u64(e.event);
                self.u64(e.kind);
                self.u64(e.pid);
            }
            Body::Rpc { attempts, state } => self.pair([*attempts, *state]),
            Body::BeIoErr {
                errcode,
                location,
                io_opcode,
            } => {
                self.u32(*errcode);
                self.u8(*location);
                self.u8(*io_opcode);
            }
            Body::SnsErr { errcode, opcode } => {
                self.u32(*errcode);
                self.u8(*opcode);
            }
        }
        Ok(())
    }
}
