//! The configuration of fencing.

mod model;

pub use model::{
    AgentConfig, CommandConfig, Delay, DeviceConfig, DeviceKind, DummyConfig, FenceConfig,
    FilesConfig, FilesDeviceConfig, HostCheck, Hosts, LevelConfig, LevelTarget, PolicyConfig,
    Readmit, Timeouts, Trigger, Unfence, WatchdogAction, WatchdogConfig,
};
