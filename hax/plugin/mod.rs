//! Plugins: what operators let happen when a state changes (`rfc/14-plugins.md`).
//!
//! ```text
//!   sources ──▶ hub ──▶ feeds ──▶ instances
//!                            supervisor ◀── commands
//! ```
//!
//! Nothing here runs on the threads of the bridge.

mod debugger;
mod drbd;
mod event;
mod feed;
mod host;
mod hub;
mod instance;
mod kinds;
mod object;
mod prepare;
mod process_group;
mod reload;
mod reloads;
pub mod source;
mod supervisor;
mod text;
mod thread;
mod umh;

pub use debugger::Debugger;
pub use drbd::DrbdSource;
pub use event::{Event, EventKind, UnixMillis};
pub use feed::{Feed, Told};
pub use host::{Host, HostError, Setup, Source};
pub use hub::{Change, Hub, SourceId, SourceStatus, World};
pub use instance::{
    Context, Failure, INSTANCE_NAME_MAX, InstanceName, Order, OrderReply, Plugin, Running, Starting,
};
pub use kinds::BuiltIn;
pub use object::{
    Check, Connection, Device, Fence, Field, Key, Kind, LeaderObject, Link, Node, Object,
    PeerDevice, Process, Queue, Resource, Service, Value,
};
pub use prepare::Kinds;
pub use reload::{InstanceError, Outcome};
pub use reloads::{PluginsHandle, PluginsStatus, ReloadError, Reloads, SourceRow};
pub use supervisor::{Cause, Handle, InstanceStatus, State, SupervisorError, Timing};
pub use thread::Environment;
pub use umh::Umh;
