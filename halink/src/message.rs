//! Messages of the HA link (`ha/msg.h`).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failure_vec::{FailureVecRep, FailureVecReq};
use crate::fid::Fid;
use crate::names::named_enum;
use crate::nvec::{NvecGet, NvecSet};
use crate::process::{ProcessStatus, ServiceStatus};
use crate::state::{HaState, NOTES_MAX};
use crate::stob::{BeIoErr, SnsErr, StobIoqError};

named_enum! {
    /// Type of a message: `m0_ha_msg_type` of `ha/msg.h`.
    pub enum MessageKind: u64, "message types" {
        /// A type Motr never sends.
        Invalid = 0, "M0_HA_MSG_INVALID";
        /// A failed I/O of a storage object.
        StobIoq = 1, "M0_HA_MSG_STOB_IOQ";
        /// A question about states, or an answer or update.
        Nvec = 2, "M0_HA_MSG_NVEC";
        /// A question for a failure vector.
        FailureVecReq = 3, "M0_HA_MSG_FAILURE_VEC_REQ";
        /// A failure vector.
        FailureVecRep = 4, "M0_HA_MSG_FAILURE_VEC_REP";
        /// A question whether the receiver is alive.
        KeepaliveReq = 5, "M0_HA_MSG_KEEPALIVE_REQ";
        /// The answer to it.
        KeepaliveRep = 6, "M0_HA_MSG_KEEPALIVE_REP";
        /// Event of a process.
        EventProcess = 7, "M0_HA_MSG_EVENT_PROCESS";
        /// Event of a service.
        EventService = 8, "M0_HA_MSG_EVENT_SERVICE";
        /// Event of an RPC connection.
        EventRpc = 9, "M0_HA_MSG_EVENT_RPC";
        /// An I/O error of the back end.
        BeIoErr = 10, "M0_HA_MSG_BE_IO_ERR";
        /// An error of repair or rebalance.
        SnsErr = 11, "M0_HA_MSG_SNS_ERR";
    }
}

/// Body of `M0_HA_MSG_EVENT_RPC` (`rpc/ha.h`): a peer does not answer. It is the fid of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcEvent {
    /// Attempts to connect so far.
    pub attempts: u64,
    /// `m0_ha_obj_state`: TRANSIENT when no reply has come in time, ONLINE when one has come after that.
    pub state: u64,
}

impl RpcEvent {
    /// The state of the peer; none: Motr has no such state.
    #[must_use]
    pub fn ha_state(&self) -> Option<HaState> {
        HaState::from_raw(u32::try_from(self.state).ok()?)
    }
}

/// Body of `M0_HA_MSG_KEEPALIVE_REQ` and `M0_HA_MSG_KEEPALIVE_REP` (`motr/keepalive.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepalive {
    /// Names the request; upper half, lower half.
    pub id: [u64; 2],
    /// Requests answered so far; 0 in a request.
    pub counter: u64,
}

/// A received message: `m0_ha_msg_data` of `ha/msg.h`, with every value inside its range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A failed I/O of a storage object.
    StobIoq(StobIoqError),
    /// A question about states.
    NvecGet(NvecGet),
    /// States.
    NvecSet(NvecSet),
    /// A question for a failure vector. It must be answered.
    FailureVecReq(FailureVecReq),
    /// A failure vector.
    FailureVecRep(FailureVecRep),
    /// A question whether the receiver is alive.
    KeepaliveReq(Keepalive),
    /// The answer to it.
    KeepaliveRep(Keepalive),
    /// Event of a process.
    Process(ProcessStatus),
    /// Event of a service.
    Service(ServiceStatus),
    /// Event of an RPC connection.
    Rpc(RpcEvent),
    /// An I/O error of the back end.
    BeIoErr(BeIoErr),
    /// An error of repair or rebalance.
    SnsErr(SnsErr),
    /// A message with a value no version of Motr gives it. There is nothing to do for it but to log
    /// it and to say that it is delivered: sent again, it would be the same.
    Malformed {
        /// The number of the type; [`MessageKind::from_raw`] may know it.
        msg_type: u64,
        /// The first bad value.
        reason: Malformed,
    },
}

/// Why a message is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Malformed {
    /// The type is none of [`MessageKind`], or is `M0_HA_MSG_INVALID`.
    #[error("message type {0} is unknown")]
    MessageType(u64),
    /// Neither SET nor GET.
    #[error("nvec type {0} is neither SET nor GET")]
    NvecType(u64),
    /// More notes than a message holds.
    #[error("{0} notes are more than {NOTES_MAX}")]
    Notes(u64),
    /// A state that is no [`HaState`](crate::HaState).
    #[error("HA state {raw} of {object} is unknown")]
    State {
        /// The object.
        object: Fid,
        /// The number.
        raw: u32,
    },
    /// No [`ProcessEvent`](crate::ProcessEvent).
    #[error("process event {0} is unknown")]
    ProcessEvent(u64),
    /// No [`ProcessType`](crate::ProcessType).
    #[error("process type {0} is unknown")]
    ProcessType(u64),
    /// No [`ServiceEvent`](crate::ServiceEvent).
    #[error("service event {0} is unknown")]
    ServiceEvent(u64),
}

impl Message {
    /// The type of the message; of a malformed one, the type it says it has, if there is such a
    /// type.
    #[must_use]
    pub fn message_kind(&self) -> MessageKind {
        match self {
            Message::StobIoq(_) => MessageKind::StobIoq,
            Message::NvecGet(_) | Message::NvecSet(_) => MessageKind::Nvec,
            Message::FailureVecReq(_) => MessageKind::FailureVecReq,
            Message::FailureVecRep(_) => MessageKind::FailureVecRep,
            Message::KeepaliveReq(_) => MessageKind::KeepaliveReq,
            Message::KeepaliveRep(_) => MessageKind::KeepaliveRep,
            Message::Process(_) => MessageKind::EventProcess,
            Message::Service(_) => MessageKind::EventService,
            Message::Rpc(_) => MessageKind::EventRpc,
            Message::BeIoErr(_) => MessageKind::BeIoErr,
            Message::SnsErr(_) => MessageKind::SnsErr,
            Message::Malformed { msg_type, .. } => {
                MessageKind::from_raw(*msg_type).unwrap_or(MessageKind::Invalid)
            }
        }
    }

    /// The name Motr gives the type, such as `M0_HA_MSG_NVEC`; fit for a label of a metric.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.message_kind().as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::assert_named_enum;

    #[test]
    fn types_survive_number_text_and_json() {
        assert_named_enum!(MessageKind);
        assert_eq!(MessageKind::ALL.len(), 12);
        assert_eq!(MessageKind::from_raw(12), None);
    }

    #[test]
    fn a_message_knows_its_name() {
        let get = NvecGet {
            id: 1,
            objects: vec![],
            ignore_same_state: false,
        };
        assert_eq!(Message::NvecGet(get).kind(), "M0_HA_MSG_NVEC");
        let malformed = |msg_type| Message::Malformed {
            msg_type,
            reason: Malformed::ProcessEvent(99),
        };
        assert_eq!(malformed(7).kind(), "M0_HA_MSG_EVENT_PROCESS");
        assert_eq!(malformed(12).kind(), "M0_HA_MSG_INVALID");
    }

    #[test]
    fn a_reason_names_the_value() {
        let reason = Malformed::State {
            object: Fid::new(1, 2),
            raw: 77,
        };
        assert_eq!(reason.to_string(), "HA state 77 of 0x1:0x2 is unknown");
        assert_eq!(
            Malformed::Notes(1025).to_string(),
            "1025 notes are more than 1024"
        );
    }

    #[test]
    fn a_message_survives_json() {
        let message = Message::NvecSet(NvecSet {
            id_of_get: 3,
            ignore_same_state: true,
            notes: vec![crate::Note {
                object: Fid::new(1, 2),
                state: crate::HaState::Failed,
            }],
        });
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    }
}
