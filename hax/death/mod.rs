//! The death watch: a pidfd on every Motr process of this machine, so that its death is known
//! at once (`rfc/10-death-watch.md`).
//!
//! [`DeathWatch`] follows processes, [`prove`] says whether a pid is who it claims to be, and
//! [`Deaths`] is what is known: who is watched, and who is confirmed dead.

mod endpoint;
mod held;
mod kill;
mod pidfd;
mod procfs;
mod proof;
mod sockets;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub use held::Identified;
pub use kill::Survives;
pub use pidfd::PidFd;
pub use procfs::Proc;
pub use proof::{Claim, Evidence, Unproven, prove};
pub use table::{ConfirmedDead, Deaths, Fall, Guarded, Heard, WatchState, watches_max};
pub use watch::{Dead, DeathWatch, Handler};
