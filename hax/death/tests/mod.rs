//! Tests with real processes, each ended by its own handle.

mod kill;
mod proof;
mod table;

use halink::{Fid, FidType};

fn process(key: u64) -> Fid {
    Fid::typed(FidType::Process, 1, key)
}
