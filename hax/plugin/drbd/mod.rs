//! The source DRBD: what `drbdsetup events2 --full --poll` prints (rfc/14, "Sources").

mod child;
mod lines;
mod parse;
mod source;
mod state;
#[cfg(test)]
mod tests;

pub use source::DrbdSource;
