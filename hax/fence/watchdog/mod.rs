//! The watchdog: a node that cannot say that it lives, or is told not to, stops its Motr processes
//! (`rfc/12-fencing.md`, "Watchdog").
//!
//! ```text
//!   beat (task): renew, read ──▶ feed (task) ──socket──▶ watchdog process ──▶ kill, verify, act
//!   death watch: processes ─────▶     └──▶ fence/peers/<self>: whether peers may count on it
//! ```

mod arming;
mod beat;
mod feed;
mod link;
mod process;

pub use beat::Beat;
pub use feed::{Feed, FeedHandle};
pub use process::{WatchdogArgs, run as run_process};

use crate::config::fence::{DeviceKind, FenceConfig, HostCheck, WatchdogConfig};
use crate::fence::model::NodeName;

/// The watchdog of a node, if one is configured: of several the one that acts first.
pub fn of<'a>(config: &'a FenceConfig, node: &NodeName) -> Option<&'a WatchdogConfig> {
    let devices = config.devices.iter().filter_map(|device| {
        let DeviceKind::Watchdog(watchdog) = &device.kind else {
            return None;
        };
        let hosts = &device.hosts;
        let named = hosts.list.contains(node) || hosts.map.contains_key(node);
        (hosts.check != HostCheck::Static || named).then_some(watchdog)
    });
    devices.min_by_key(|watchdog| watchdog.stop_max)
}

/// The name of the watchdog process of the bridge with this HA endpoint.
pub fn name_of(endpoint: &str) -> String {
    process::name_of(endpoint)
}
