//! The `state` member of the values under `m0conf/`, in the two spellings Hare stores (4/KV).

use halink::{Fid, FidType, HaState};

/// What is stored of an object. Hare knows more than Motr: offline and stopped are both
/// `M0_NC_TRANSIENT` to Motr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HareState {
    /// Nothing has been said yet.
    Unknown,
    /// Usable.
    Online,
    /// Unreachable now, and expected back.
    Offline,
    /// Gone.
    Failed,
    /// Stopped in order.
    Stopped,
    /// Started, and recovering its distributed transactions.
    DtmRecovering,
    /// Being repaired (drives).
    Repairing,
    /// Repaired, not yet rebalanced (drives).
    Repaired,
    /// Being rebalanced (drives).
    Rebalancing,
}

impl HareState {
    /// Reads either spelling; `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "unknown" | "m0_nc_unknown" => Self::Unknown,
            "online" | "m0_nc_online" => Self::Online,
            "offline" | "m0_nc_transient" => Self::Offline,
            "failed" | "m0_nc_failed" => Self::Failed,
            "stopped" => Self::Stopped,
            "dtm_recovering" | "m0_nc_dtm_recovering" => Self::DtmRecovering,
            "repairing" | "m0_nc_repair" => Self::Repairing,
            "repaired" | "m0_nc_repaired" => Self::Repaired,
            "rebalancing" | "m0_nc_rebalance" => Self::Rebalancing,
            _ => return None,
        })
    }

    /// The same to Motr.
    pub fn ha_state(self) -> HaState {
        match self {
            Self::Unknown => HaState::Unknown,
            Self::Online => HaState::Online,
            Self::Offline | Self::Stopped => HaState::Transient,
            Self::Failed => HaState::Failed,
            Self::DtmRecovering => HaState::DtmRecovering,
            Self::Repairing => HaState::Repair,
            Self::Repaired => HaState::Repaired,
            Self::Rebalancing => HaState::Rebalance,
        }
    }

    /// As Hare stores it for this object, and as its tools read it there: by Motr's name for nodes,
    /// enclosures and controllers, by a word for all others.
    pub fn spelled(self, object: Fid) -> &'static str {
        match object.fid_type() {
            Some(FidType::Node | FidType::Enclosure | FidType::Controller) => {
                self.ha_state().as_str()
            }
            _ => self.word(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::DtmRecovering => "dtm_recovering",
            Self::Repairing => "repairing",
            Self::Repaired => "repaired",
            Self::Rebalancing => "rebalancing",
        }
    }

    /// Whether a process event leaves a drive in this state alone: what becomes of it is for
    /// repair, or for an operator, to say.
    pub fn keeps_drive(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Repairing | Self::Repaired | Self::Rebalancing
        )
    }

    /// Whether an ios process in this state serves nobody.
    pub fn is_out(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed | Self::Offline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [HareState; 9] = [
        HareState::Unknown,
        HareState::Online,
        HareState::Offline,
        HareState::Failed,
        HareState::Stopped,
        HareState::DtmRecovering,
        HareState::Repairing,
        HareState::Repaired,
        HareState::Rebalancing,
    ];

    #[test]
    fn both_spellings_are_read_back() {
        let process = Fid::typed(FidType::Process, 1, 0);
        let node = Fid::typed(FidType::Node, 1, 0);
        for state in ALL {
            assert_eq!(HareState::parse(state.spelled(process)), Some(state));
            let named = HareState::parse(state.spelled(node)).unwrap();
            assert_eq!(named.ha_state(), state.ha_state());
        }
        for name in HaState::ALL {
            assert_eq!(HareState::parse(name.as_str()).unwrap().ha_state(), *name);
        }
        for text in ["", "M0_NC_", "on line", "ONLINE "] {
            assert_eq!(HareState::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_object_is_spelled_as_hare_spells_its_type() {
        for (fid_type, spelled) in [
            (FidType::Process, "offline"),
            (FidType::Service, "offline"),
            (FidType::Sdev, "offline"),
            (FidType::Node, "M0_NC_TRANSIENT"),
            (FidType::Enclosure, "M0_NC_TRANSIENT"),
            (FidType::Controller, "M0_NC_TRANSIENT"),
        ] {
            let object = Fid::typed(fid_type, 1, 0);
            assert_eq!(HareState::Offline.spelled(object), spelled);
        }
    }
}
