//! What this build is.

use std::sync::OnceLock;

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Version, commit, and the backend that stands for Motr: `0.1.0 (0123456789ab, embedded 1)`.
pub fn long() -> &'static str {
    static LONG: OnceLock<String> = OnceLock::new();
    LONG.get_or_init(|| {
        let commit = env!("HAX_COMMIT");
        format!(
            "{VERSION} ({commit}, {} {})",
            halink::backend(),
            halink::version()
        )
    })
}

/// Whether Motr's own library is linked.
pub fn is_libmotr() -> bool {
    halink::backend() == "libmotr"
}
