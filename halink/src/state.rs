//! HA states of objects (`ha/note.h`).

use serde::{Deserialize, Serialize};

use crate::fid::Fid;
use crate::names::named_enum;

/// Notes in one message at most: `M0_HA_STATE_UPDATE_LIMIT` of `ha/note.h`.
pub const NOTES_MAX: usize = 1024;

named_enum! {
    /// HA state of an object: `m0_ha_obj_state` of `ha/note.h`.
    pub enum HaState: u32, "HA states" {
        /// Nothing is known; Motr takes it for "no change".
        Unknown = 0, "M0_NC_UNKNOWN";
        /// Usable.
        Online = 1, "M0_NC_ONLINE";
        /// Gone for good, for what Motr is concerned: repair may begin.
        Failed = 2, "M0_NC_FAILED";
        /// Unreachable now, and expected back.
        Transient = 3, "M0_NC_TRANSIENT";
        /// Being repaired (devices and pools).
        Repair = 4, "M0_NC_REPAIR";
        /// Repaired, not yet rebalanced (devices and pools).
        Repaired = 5, "M0_NC_REPAIRED";
        /// Being rebalanced (devices and pools).
        Rebalance = 6, "M0_NC_REBALANCE";
        /// Started, and recovering its distributed transactions (processes).
        DtmRecovering = 7, "M0_NC_DTM_RECOVERING";
    }
}

/// An object and its HA state: `m0_ha_note` of `ha/note.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Note {
    /// The object.
    pub object: Fid,
    /// Its state.
    pub state: HaState,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::assert_named_enum;

    #[test]
    fn states_survive_number_text_and_json() {
        assert_named_enum!(HaState);
        assert_eq!(HaState::ALL.len(), 8);
        assert_eq!(HaState::from_raw(8), None);
        assert_eq!(HaState::from_raw(u32::MAX), None);
        assert_eq!(HaState::DtmRecovering.raw(), 7);
    }

    #[test]
    fn a_note_is_two_strings_in_json() {
        let note = Note {
            object: Fid::new(1, 2),
            state: HaState::Online,
        };
        let json = serde_json::to_string(&note).unwrap();
        assert_eq!(json, r#"{"object":"0x1:0x2","state":"M0_NC_ONLINE"}"#);
        assert_eq!(serde_json::from_str::<Note>(&json).unwrap(), note);
    }
}
