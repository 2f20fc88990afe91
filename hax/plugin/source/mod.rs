//! Where objects come from: what the bridge publishes, as it changes.

mod bridge;
mod fence;
mod view;

pub use bridge::BridgeSource;
pub use fence::FenceSource;
pub use view::ViewSource;
