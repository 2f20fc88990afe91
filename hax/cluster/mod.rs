//! The view of the cluster: what Consul says of its objects, processes and checks, and who leads.

mod follow;
mod hare_state;
mod leader;
mod part;
pub mod process;
mod read;
mod relations;
mod service_id;
mod snapshot;
mod stored_type;
pub mod synthetic;
mod tree;
mod view;

pub use hare_state::HareState;
pub use leader::{LEADER_KEY, Leader, LeaderStatus, LeaderTask, Standing};
pub use part::Detail;
pub use process::{ProcessTable, StoredStatus};
pub(crate) use read::decode;
pub use relations::Relations;
pub use service_id::process_of_service_id;
pub use snapshot::{Failing, Snapshot};
pub use stored_type::StoredType;
pub use tree::{ConfTree, ConfTreeBuilder, fid_of_key, service_fid};
pub use view::{PartStatus, View};
