//! The view of the cluster: what Consul says of its objects, processes and checks, and who leads.

mod hare_state;
mod leader;
pub mod process;
mod read;
mod relations;
mod service_id;
mod snapshot;
mod stored_type;
mod tree;
mod view;

pub use hare_state::HareState;
pub use leader::{LEADER_KEY, Leader, LeaderStatus, LeaderTask, Standing};
pub use process::{ProcessTable, StoredStatus};
pub use read::read_snapshot;
pub use relations::Relations;
pub use service_id::process_of_service_id;
pub use snapshot::{Failing, Snapshot};
pub use stored_type::StoredType;
pub use tree::{ConfTree, fid_of_key, service_fid};
pub use view::View;
