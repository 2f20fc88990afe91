//! The configuration of fencing.

mod device;
mod hosts;
mod kind;
mod level;
mod model;
mod policy;
mod read;
pub(in crate::config) mod schema;
#[cfg(test)]
mod tests;
mod value;

pub use model::{
    AgentConfig, CommandConfig, Delay, DeviceConfig, DeviceKind, DummyConfig, FenceConfig,
    FilesConfig, FilesDeviceConfig, HostCheck, Hosts, LevelConfig, LevelTarget, PolicyConfig,
    REPORT_MAX, Readmit, Timeouts, Trigger, Unfence, WatchdogAction, WatchdogConfig,
};
pub(in crate::config) use read::read;
