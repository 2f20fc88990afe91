//! Safe, asynchronous access to Motr's HA interface: events in, commands out.
//!
//! [`Interface::spawn`] opens the interface and returns its [`Events`]; a [`Handle`] answers
//! entrypoint requests and sends messages. A [`Received`] message is acknowledged by
//! [`Received::delivered`], once its effect is durable: what is not acknowledged is sent again.
//!
//! ```no_run
//! # use halink::{EntrypointReply, Event, Interface, InterfaceConfig};
//! # async fn run(config: InterfaceConfig, reply: EntrypointReply) -> Result<(), Box<dyn std::error::Error>> {
//! let (interface, mut events) = Interface::spawn(config)?;
//! let handle = interface.handle();
//! // The first request is our own: the interface is started when it is answered.
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::Entrypoint(request) => handle.entrypoint_reply(request.req_id, &reply).await?,
//!         Event::Message(received) => {
//!             println!("{} from link {}", received.message.kind(), received.link);
//!             received.delivered().await;
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Numbers of Motr that are out of range become [`Message::Malformed`] at this edge; everything
//! beyond it works with enumerations and [`Fid`]s.

mod convert;
mod delivery;
mod entrypoint;
mod error;
mod event;
mod failure_vec;
mod ffi;
mod fid;
mod handle;
mod id;
mod interface;
mod lifecycle;
mod link;
mod message;
mod names;
mod nvec;
mod process;
mod sender;
mod start_gate;
mod state;
mod stob;
mod sync;

pub use delivery::{Delivery, DeliveryOutcome};
pub use entrypoint::{CONFDS_MAX, Confd, ENDPOINT_MAX, EntrypointReply, EntrypointRequest};
pub use error::{Errno, Error, ReplyError, SendError};
pub use event::{Ack, Event, Events, Received};
pub use failure_vec::{FailureVec, FailureVecRep, FailureVecReq};
pub use ffi::{backend, prepare, version};
pub use fid::{Fid, FidSyntax, FidType, Half, ParseFidError};
pub use handle::{Broadcast, Handle, Stats};
pub use id::{Epoch, LinkId, RequestId, Tag};
pub use interface::{Interface, InterfaceConfig};
pub use lifecycle::{IllegalStep, Lifecycle};
pub use link::Link;
pub use message::{Keepalive, Malformed, Message, MessageKind, RpcEvent};
pub use names::UnknownName;
pub use nvec::{NvecGet, NvecSet};
pub use process::{ProcessEvent, ProcessStatus, ProcessType, ServiceEvent, ServiceStatus};
pub use state::{HaState, NOTES_MAX, Note};
pub use stob::{BeIoErr, SnsErr, StobIoqError};
