//! Messages as C lends them.

use std::slice;

use motr_sys as sys;

use crate::convert;
use crate::failure_vec::{FailureVecRep, FailureVecReq};
use crate::message::{Keepalive, Malformed, Message, MessageKind, RpcEvent};
use crate::state::NOTES_MAX;
use crate::stob::{BeIoErr, SnsErr, StobIoqError};

/// An owned copy of the message. One with a value out of range becomes [`Message::Malformed`].
///
/// # Safety
///
/// The member of the union that the type names is set, and its notes are as many as it says.
pub(super) unsafe fn decode(raw: &sys::hax_msg) -> Message {
    // SAFETY: the caller's promise.
    let message = unsafe { judge(raw) };
    message.unwrap_or_else(|reason| Message::Malformed {
        msg_type: raw.type_,
        reason,
    })
}

/// # Safety
///
/// As for [`decode`].
unsafe fn judge(raw: &sys::hax_msg) -> Result<Message, Malformed> {
    let kind = MessageKind::from_raw(raw.type_).ok_or(Malformed::MessageType(raw.type_))?;
    // SAFETY: every arm reads the member that the type names, which the caller says is set.
    unsafe {
        Ok(match kind {
            MessageKind::Invalid => return Err(Malformed::MessageType(raw.type_)),
            MessageKind::StobIoq => Message::StobIoq(stob_ioq(&raw.u.stob_ioq)),
            MessageKind::Nvec => {
                let nvec = &raw.u.nvec;
                let notes = notes(nvec.notes, nvec.nr)?;
                let ignore_same_state = nvec.ignore_same_state != 0;
                convert::nvec(nvec.type_, nvec.id_of_get, ignore_same_state, notes)?
            }
            MessageKind::FailureVecReq => {
                let sys::hax_failure_vec { pool, cookie, .. } = raw.u.failure_vec;
                Message::FailureVecReq(FailureVecReq {
                    pool: convert::fid(pool),
                    cookie,
                })
            }
            MessageKind::FailureVecRep => {
                let sys::hax_failure_vec { pool, cookie, nr } = raw.u.failure_vec;
                Message::FailureVecRep(FailureVecRep {
                    pool: convert::fid(pool),
                    cookie,
                    nr,
                })
            }
            MessageKind::KeepaliveReq => Message::KeepaliveReq(keepalive(raw.u.keepalive)),
            MessageKind::KeepaliveRep => Message::KeepaliveRep(keepalive(raw.u.keepalive)),
            MessageKind::EventProcess => convert::process(&raw.u.event)?,
            MessageKind::EventService => convert::service(&raw.u.event)?,
            MessageKind::EventRpc => {
                let sys::hax_rpc_event { attempts, state } = raw.u.rpc;
                Message::Rpc(RpcEvent { attempts, state })
            }
            MessageKind::BeIoErr => {
                let sys::hax_be_io_err {
                    errcode,
                    location,
                    io_opcode,
                } = raw.u.be_io_err;
                Message::BeIoErr(BeIoErr {
                    errcode,
                    location,
                    io_opcode,
                })
            }
            MessageKind::SnsErr => {
                let sys::hax_sns_err { errcode, opcode } = raw.u.sns_err;
                Message::SnsErr(SnsErr { errcode, opcode })
            }
        })
    }
}

/// # Safety
///
/// If `nr` is at most [`NOTES_MAX`] and `notes` not null, there are so many notes.
unsafe fn notes<'a>(
    notes: *const sys::hax_note,
    nr: u64,
) -> Result<&'a [sys::hax_note], Malformed> {
    match usize::try_from(nr) {
        Ok(0) => Ok(&[]),
        Ok(len) if len <= NOTES_MAX && !notes.is_null() => {
            // SAFETY: the caller's promise.
            Ok(unsafe { slice::from_raw_parts(notes, len) })
        }
        _ => Err(Malformed::Notes(nr)),
    }
}

fn stob_ioq(raw: &sys::hax_stob_ioq_error) -> StobIoqError {
    StobIoqError {
        conf_sdev: convert::fid(raw.conf_sdev),
        stob_domain: convert::fid(raw.stob_domain),
        stob: convert::fid(raw.stob),
        fd: raw.fd,
        opcode: raw.opcode,
        rc: raw.rc,
        offset: raw.offset,
        size: raw.size,
        bshift: raw.bshift,
    }
}

fn keepalive(raw: sys::hax_keepalive) -> Keepalive {
    Keepalive {
        id: [raw.id.hi, raw.id.lo],
        counter: raw.counter,
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::fid::Fid;
    use crate::nvec::NvecGet;

    fn receive(msg: &sys::hax_msg) -> Message {
        // SAFETY: the tests make whole messages.
        unsafe { decode(msg) }
    }

    /// A message whose every field is zero but the type.
    fn msg(msg_type: u64) -> sys::hax_msg {
        sys::hax_msg {
            type_: msg_type,
            ..sys::hax_msg::default()
        }
    }

    fn nvec(nvec_type: u64, nr: u64, notes: &[sys::hax_note]) -> sys::hax_msg {
        let mut msg = msg(2);
        msg.u.nvec = sys::hax_nvec {
            type_: nvec_type,
            id_of_get: 5,
            ignore_same_state: 2,
            nr,
            notes: notes.as_ptr(),
        };
        msg
    }

    #[test]
    fn every_type_becomes_its_message() {
        for kind in MessageKind::ALL {
            let message = receive(&msg(kind.raw()));
            assert_eq!(message.message_kind(), *kind);
            let malformed = matches!(message, Message::Malformed { .. });
            assert_eq!(malformed, *kind == MessageKind::Invalid, "{message:?}");
        }
        for msg_type in [0, 12, 1 << 32 | 2, u64::MAX] {
            let reason = Malformed::MessageType(msg_type);
            assert_eq!(
                receive(&msg(msg_type)),
                Message::Malformed { msg_type, reason }
            );
        }
    }

    #[test]
    fn a_number_of_notes_is_believed_within_its_limit_only() {
        let note = sys::hax_note {
            object: sys::hax_fid {
                container: 1,
                key: 2,
            },
            state: 77,
            reserved: 9,
        };
        let notes = vec![note; NOTES_MAX];
        let get = |nr: usize| {
            Message::NvecGet(NvecGet {
                id: 5,
                objects: vec![Fid::new(1, 2); nr],
                ignore_same_state: true,
            })
        };
        for nr in [0, 1, NOTES_MAX] {
            assert_eq!(receive(&nvec(1, nr as u64, &notes)), get(nr));
        }
        for nr in [NOTES_MAX as u64 + 1, 1 << 32, u64::MAX] {
            let expected = Message::Malformed {
                msg_type: 2,
                reason: Malformed::Notes(nr),
            };
            assert_eq!(receive(&nvec(1, nr, &notes)), expected);
        }
        let mut without_notes = nvec(1, 1, &[]);
        without_notes.u.nvec.notes = ptr::null();
        let expected = Message::Malformed {
            msg_type: 2,
            reason: Malformed::Notes(1),
        };
        assert_eq!(receive(&without_notes), expected);
        let object = Fid::new(1, 2);
        let expected = Message::Malformed {
            msg_type: 2,
            reason: Malformed::State { object, raw: 77 },
        };
        assert_eq!(receive(&nvec(0, 1, &notes)), expected);
    }
}
