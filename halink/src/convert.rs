//! Values of Motr to values of Rust: the edge at which numbers are judged.

use motr_sys::{hax_conf_event, hax_fid, hax_note};

use crate::fid::Fid;
use crate::message::{Malformed, Message};
use crate::nvec::{NvecGet, NvecSet};
use crate::process::{ProcessEvent, ProcessStatus, ProcessType, ServiceEvent, ServiceStatus};
use crate::state::{HaState, Note};

/// `M0_HA_NVEC_SET` and `M0_HA_NVEC_GET` of `ha/note.h`.
const NVEC_SET: u64 = 0;
const NVEC_GET: u64 = 1;

pub(crate) fn fid(raw: hax_fid) -> Fid {
    Fid::new(raw.container, raw.key)
}

pub(crate) fn raw_fid(fid: Fid) -> hax_fid {
    hax_fid {
        container: fid.container(),
        key: fid.key(),
    }
}

pub(crate) fn raw_notes(notes: &[Note]) -> Vec<hax_note> {
    let raw = |note: &Note| hax_note {
        object: raw_fid(note.object),
        state: note.state.raw(),
        reserved: 0,
    };
    notes.iter().map(raw).collect()
}

pub(crate) fn raw_process_event(status: &ProcessStatus) -> hax_conf_event {
    hax_conf_event {
        event: status.event.raw(),
        type_: status.kind.raw(),
        pid: status.pid,
    }
}

/// An nvec with its notes. The states in a GET mean nothing, and are not looked at.
pub(crate) fn nvec(
    nvec_type: u64,
    id: u64,
    ignore_same_state: bool,
    notes: &[hax_note],
) -> Result<Message, Malformed> {
    match nvec_type {
        NVEC_GET => {
            let objects = notes.iter().map(|note| fid(note.object)).collect();
            Ok(Message::NvecGet(NvecGet {
                id,
                objects,
                ignore_same_state,
            }))
        }
        NVEC_SET => {
            let notes = notes.iter().map(note).collect::<Result<_, _>>()?;
            Ok(Message::NvecSet(NvecSet {
                id_of_get: id,
                ignore_same_state,
                notes,
            }))
        }
        other => Err(Malformed::NvecType(other)),
    }
}

fn note(raw: &hax_note) -> Result<Note, Malformed> {
    let object = fid(raw.object);
    let state = HaState::from_raw(raw.state).ok_or(Malformed::State {
        object,
        raw: raw.state,
    })?;
    Ok(Note { object, state })
}

pub(crate) fn process(raw: &hax_conf_event) -> Result<Message, Malformed> {
    let event = ProcessEvent::from_raw(raw.event).ok_or(Malformed::ProcessEvent(raw.event))?;
    let kind = ProcessType::from_raw(raw.type_).ok_or(Malformed::ProcessType(raw.type_))?;
    Ok(Message::Process(ProcessStatus {
        event,
        kind,
        pid: raw.pid,
    }))
}

pub(crate) fn service(raw: &hax_conf_event) -> Result<Message, Malformed> {
    let event = ServiceEvent::from_raw(raw.event).ok_or(Malformed::ServiceEvent(raw.event))?;
    Ok(Message::Service(ServiceStatus {
        event,
        service_type: raw.type_,
        pid: raw.pid,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw_note(state: u32) -> hax_note {
        hax_note {
            object: hax_fid {
                container: 1,
                key: 2,
            },
            state,
            reserved: 0,
        }
    }

    #[test]
    fn states_of_a_get_are_not_looked_at() {
        let message = nvec(NVEC_GET, 5, false, &[raw_note(77)]).unwrap();
        let objects = vec![Fid::new(1, 2)];
        assert_eq!(
            message,
            Message::NvecGet(NvecGet {
                id: 5,
                objects,
                ignore_same_state: false
            })
        );
    }

    #[test]
    fn values_out_of_range_are_named() {
        let object = Fid::new(1, 2);
        assert_eq!(
            nvec(NVEC_SET, 0, true, &[raw_note(1), raw_note(77)]),
            Err(Malformed::State { object, raw: 77 })
        );
        assert_eq!(nvec(5, 0, true, &[]), Err(Malformed::NvecType(5)));
        let event = |event, type_| hax_conf_event {
            event,
            type_,
            pid: 1,
        };
        assert_eq!(process(&event(99, 3)), Err(Malformed::ProcessEvent(99)));
        assert_eq!(process(&event(1, 4)), Err(Malformed::ProcessType(4)));
        assert_eq!(service(&event(5, 3)), Err(Malformed::ServiceEvent(5)));
        assert!(service(&event(4, 4000)).is_ok());
    }

    proptest! {
        #[test]
        fn notes_survive(notes in prop::collection::vec((any::<u64>(), any::<u64>(), 0..8u32), 0..50)) {
            let notes: Vec<_> = notes
                .into_iter()
                .map(|(container, key, state)| Note {
                    object: Fid::new(container, key),
                    state: HaState::from_raw(state).unwrap(),
                })
                .collect();
            let expected =
                NvecSet { id_of_get: 9, ignore_same_state: true, notes: notes.clone() };
            let message = nvec(NVEC_SET, 9, true, &raw_notes(&notes));
            prop_assert_eq!(message, Ok(Message::NvecSet(expected)));
        }

        #[test]
        fn any_event_is_judged(event: u64, type_ in 0..9u64, pid: u64) {
            let raw = hax_conf_event { event, type_, pid };
            if let Ok(Message::Process(status)) = process(&raw) {
                let back = raw_process_event(&status);
                prop_assert_eq!((back.event, back.type_, back.pid), (event, type_, pid));
            }
        }
    }
}
