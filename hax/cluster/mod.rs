//! The view of the cluster: what Consul says of its objects, processes and checks.

pub mod process;
mod snapshot;
mod tree;

pub use process::{ProcessTable, StoredStatus};
pub use snapshot::{Failing, Snapshot};
pub use tree::{ConfTree, fid_of_key, service_fid};
