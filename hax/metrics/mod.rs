//! What the daemon measures, and the text Prometheus reads. Nothing here knows the bridge.

mod histogram;
mod text;

pub use histogram::{Histogram, Summary};
pub use text::{Kind, Text};
