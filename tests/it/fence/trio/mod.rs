//! Three Consul servers with a hax each (`rfc/12-fencing.md`), and devices that write down what they are
//! asked for: what has happened is judged by their words, not by those of hax.

mod cluster;
mod faults;
mod guarded;
mod kept;
mod loss;
mod lost;
mod motr;
mod nodes;
mod orders;
mod powered;
mod processes;
pub(crate) mod recording;
mod selves;
mod storm;
mod topology;
mod unfence;
mod unreadable;

use cluster::{QUICK, Shape, Trio, operation};
use recording::Line;
