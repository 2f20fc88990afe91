//! The view of the cluster: what Consul says of its objects, processes and checks, and who leads.

mod follow;
mod leader;
mod part;
pub mod process;
mod read;
mod service_id;
mod snapshot;
pub mod synthetic;
mod tree;
mod view;

pub use leader::{LEADER_KEY, Leader, LeaderStatus, LeaderTask, Standing};
pub use process::{ProcessTable, StoredStatus};
pub use service_id::process_of_service_id;
pub use snapshot::{Failing, Snapshot};
pub use tree::{ConfTree, ConfTreeBuilder, fid_of_key, service_fid};
pub use view::{PartStatus, View};
