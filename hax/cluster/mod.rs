//! The view of the cluster: what Consul says of its objects, processes and checks, and who leads.

mod leader;
pub mod process;
mod read;
mod service_id;
mod snapshot;
mod tree;
mod view;

pub use leader::{LEADER_KEY, Leader, LeaderStatus, LeaderTask, Standing};
pub use process::{ProcessTable, StoredStatus};
pub use read::read_snapshot;
pub use service_id::process_of_service_id;
pub use snapshot::{Failing, Snapshot};
pub use tree::{ConfTree, fid_of_key, service_fid};
pub use view::View;
