//! What stands here for keys that users of drbd-reactor know.

/// The answer to an unknown key, by its section (empty: none) and its name, with underscores for dashes.
pub(super) fn answer(section: &str, name: &str) -> Option<&'static str> {
    let section = section.strip_suffix(".old").unwrap_or(section);
    let section = section.strip_suffix(".new").unwrap_or(section);
    Some(match (section, name) {
        ("", "agentx") => "there is no plugin for SNMP; prometheus shows the same numbers",
        ("", "log") => "what is logged is said in the main file: log.level and log.format",
        ("", "snippets" | "statistics_poll_interval") => {
            "this belongs into the main file: plugins.snippets, plugins.drbd.statistics_interval"
        }
        ("umh" | "prometheus" | "debugger", "id" | "name") => {
            "an instance has the name of its file; leave it out"
        }
        ("umh", "peerdevice") => "its name is umh.peer_device here",
        ("umh.resource" | "umh.device" | "umh.connection" | "umh.peer_device", name) => {
            drbd(section, name)?
        }
        (_, "event_type") if section.starts_with("umh.") => EVENTS,
        _ => return None,
    })
}

const EVENTS: &str = "the kinds of event are a list here: events = [\"change\"]";

fn drbd(section: &str, name: &str) -> Option<&'static str> {
    Some(match (section, name) {
        (_, "event_type") => EVENTS,
        (_, "name" | "resource" | "res_name") => "the name of the DRBD resource is resource_name",
        ("umh.device", "disk_state") => "the field is disk",
        ("umh.device", "open") => "whether a device is open is not known here; leave it out",
        ("umh.connection", "connection_state" | "conn_state") => "the field is connection",
        ("umh.connection", "peer_role") => "the field is role: in a connection, the peer's",
        ("umh.peer_device", "peer_disk_state") => "the field is peer_disk",
        ("umh.peer_device", "replication_state" | "peer_replication_state") => {
            "the field is replication"
        }
        ("umh.peer_device", "peer_resync_suspended") => "the field is resync_suspended",
        _ => return None,
    })
}
