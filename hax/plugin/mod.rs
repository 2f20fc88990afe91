//! Plugins: what operators let happen when a state changes (`rfc/14-plugins.md`).
//!
//! ```text
//!   sources ──▶ hub ──▶ feeds ──▶ instances
//!                            supervisor ◀── commands
//! ```
//!
//! Nothing here runs on the threads of the bridge.

mod drbd;
mod event;
mod feed;
mod hub;
mod instance;
mod object;
pub mod source;

pub use drbd::DrbdSource;
pub use event::{Event, EventKind, UnixMillis};
pub use feed::{Feed, Told};
pub use hub::{Change, Hub, SourceId, SourceStatus, World};
pub use instance::{Context, Failure, InstanceName, Order, OrderReply, Plugin, Starting};
pub use object::{
    Check, Connection, Device, Fence, Field, Key, Kind, LeaderObject, Link, Node, Object,
    PeerDevice, Process, Queue, Resource, Service, Value,
};
