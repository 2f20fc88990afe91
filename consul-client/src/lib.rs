//! Typed asynchronous client of the Consul HTTP API.
//!
//! A [`Client`] is cheap to clone and shares one connection pool. Each area of the API is reached
//! through a short-lived handle:
//!
//! ```no_run
//! # async fn example() -> Result<(), consul_client::Error> {
//! use consul_client::{Client, Config, ReadOptions, StateFilter, TxnOp};
//!
//! let client = Client::new(&Config::new("127.0.0.1:8500"))?;
//! let leader = client.kv().with(ReadOptions::consistent()).get("leader").await?;
//! let nodes = client.kv().list("m0conf/nodes/").await?;
//! let broken = client.health().state(StateFilter::Critical).await?;
//! client.txn().commit(&[TxnOp::set("processes/0x7200000000000001:0x4", "{}")]).await?;
//! # let _ = (leader, nodes, broken);
//! # Ok(())
//! # }
//! ```
//!
//! Changes are followed with [`Client::watch`], which turns blocking queries into streams.
//!
//! Every request has a time limit and every reply a size limit (see [`Config`]). Failures are
//! [`Error`]s that know whether repeating the request can help ([`Error::is_retryable`]); the
//! client itself repeats nothing except inside a watch. [`RetryPolicy`] repeats on demand.
//!
//! Tested with Consul 1.8.7. Where later versions differ, the request form accepted by both is
//! used.

mod agent;
mod blocking;
mod catalog;
mod client;
mod config;
mod error;
mod event;
mod health;
mod kv;
mod listing;
mod lock;
mod request;
mod retry;
mod session;
mod status;
mod txn;
mod types;

pub use agent::{
    Agent, AgentConfig, AgentSelf, CheckKind, CheckRegistration, CheckSpec, Member,
    ServiceRegistration,
};
pub use blocking::{MAX_WAIT, Watch, WatchOptions, Watcher};
pub use catalog::{
    Catalog, CatalogCheck, CatalogNode, CatalogService, Deregistration, Registration,
};
pub use client::{Client, Consistency, Index, ReadOptions, Response, Wait};
pub use config::{ClientIdentity, Config, Token};
pub use error::Error;
pub use event::{Event, Events};
pub use health::{Health, StateFilter};
pub use kv::{Condition, KV_MAX_VALUE, Kv, KvPair, PutOptions};
pub use listing::{Listing, PairRef};
pub use lock::{Attempt, Lock};
pub use retry::RetryPolicy;
pub use session::{Behavior, Checks, NewSession, SERF_HEALTH, Session, SessionId, SessionInfo};
pub use status::Status;
pub use txn::{TXN_MAX_BYTES, TXN_MAX_OPS, Txn, TxnAborted, TxnError, TxnOp};
pub use types::{CheckStatus, HealthCheck, Node, Service, ServiceEntry};
