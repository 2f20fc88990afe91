//! Vectors of notes: questions about the state of objects, answers and updates (`ha/note.h`).

use serde::{Deserialize, Serialize};

use crate::fid::Fid;
use crate::state::Note;

/// `M0_HA_NVEC_GET`: a process asks for the states of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvecGet {
    /// Names the question; the [`NvecSet`] that answers it carries it as `id_of_get`.
    pub id: u64,
    /// The objects, at most [`NOTES_MAX`](crate::NOTES_MAX). The answer has a note for each, in
    /// this order.
    pub objects: Vec<Fid>,
    /// As the process sent it; the answer has its own.
    pub ignore_same_state: bool,
}

/// `M0_HA_NVEC_SET`: states of objects, as an answer to an [`NvecGet`] or on one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvecSet {
    /// [`NvecGet::id`] of the question, or 0.
    pub id_of_get: u64,
    /// Whether the receiver wakes the waiters only of objects whose state changes. Set in all that
    /// the bridge sends.
    pub ignore_same_state: bool,
    /// The states, at most [`NOTES_MAX`](crate::NOTES_MAX).
    pub notes: Vec<Note>,
}
