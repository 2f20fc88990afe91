//! What processes and services report of themselves (`conf/ha.h`).

use serde::{Deserialize, Serialize};

use crate::names::named_enum;

named_enum! {
    /// Event of a process: `m0_conf_ha_process_event`.
    pub enum ProcessEvent: u64, "process events" {
        /// Starting; sent before the services start.
        Starting = 0, "M0_CONF_HA_PROCESS_STARTING";
        /// All services run.
        Started = 1, "M0_CONF_HA_PROCESS_STARTED";
        /// Stopping; sent before the services stop.
        Stopping = 2, "M0_CONF_HA_PROCESS_STOPPING";
        /// All services are stopped; the last message of the process.
        Stopped = 3, "M0_CONF_HA_PROCESS_STOPPED";
        /// Recovery of distributed transactions is complete.
        DtmRecovered = 4, "M0_CONF_HA_PROCESS_DTM_RECOVERED";
    }
}

named_enum! {
    /// Type of a process: `m0_conf_ha_process_type`. `m0mkfs` and `m0d` of one process share its
    /// fid; only this tells them apart.
    pub enum ProcessType: u64, "process types" {
        /// None of the others: clients.
        Other = 0, "M0_CONF_HA_PROCESS_OTHER";
        /// A process in the kernel, with pid 0.
        Kernel = 1, "M0_CONF_HA_PROCESS_KERNEL";
        /// `m0mkfs`, which formats the storage and exits.
        M0mkfs = 2, "M0_CONF_HA_PROCESS_M0MKFS";
        /// `m0d`, the server.
        M0d = 3, "M0_CONF_HA_PROCESS_M0D";
    }
}

named_enum! {
    /// Event of a service: `m0_conf_ha_service_event`.
    pub enum ServiceEvent: u64, "service events" {
        /// Starting.
        Starting = 0, "M0_CONF_HA_SERVICE_STARTING";
        /// Started.
        Started = 1, "M0_CONF_HA_SERVICE_STARTED";
        /// Stopping.
        Stopping = 2, "M0_CONF_HA_SERVICE_STOPPING";
        /// Stopped.
        Stopped = 3, "M0_CONF_HA_SERVICE_STOPPED";
        /// Could not start.
        Failed = 4, "M0_CONF_HA_SERVICE_FAILED";
    }
}

/// Body of `M0_HA_MSG_EVENT_PROCESS`: `m0_conf_ha_process`. The process is the fid of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// What happened.
    pub event: ProcessEvent,
    /// Which kind of process it is.
    pub kind: ProcessType,
    /// Pid on its node; 0 for a process in the kernel.
    pub pid: u64,
}

/// Body of `M0_HA_MSG_EVENT_SERVICE`: `m0_conf_ha_service`. The service is the fid of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// What happened.
    pub event: ServiceEvent,
    /// `m0_conf_service_type`, as it is: 5/HAX has no use for it, and Motr adds types.
    pub service_type: u64,
    /// Pid of the process of the service; 0 in the kernel.
    pub pid: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::assert_named_enum;

    #[test]
    fn names_survive_number_text_and_json() {
        assert_named_enum!(ProcessEvent);
        assert_named_enum!(ProcessType);
        assert_named_enum!(ServiceEvent);
        assert_eq!(ProcessEvent::from_raw(5), None);
        assert_eq!(ProcessEvent::from_raw(1 << 32), None);
        assert_eq!(ProcessType::from_raw(4), None);
        assert_eq!(ServiceEvent::from_raw(99), None);
    }

    #[test]
    fn a_status_is_readable_json() {
        let status = ProcessStatus {
            event: ProcessEvent::Started,
            kind: ProcessType::M0d,
            pid: 17,
        };
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(
            json,
            r#"{"event":"M0_CONF_HA_PROCESS_STARTED","kind":"M0_CONF_HA_PROCESS_M0D","pid":17}"#
        );
        assert_eq!(
            serde_json::from_str::<ProcessStatus>(&json).unwrap(),
            status
        );
    }
}
