//! Configurations for tests.

use crate::config::Config;
use crate::config::fence::FenceConfig;

/// `[fence]` of node `n1` with these lines after `enabled = true`.
pub(crate) fn config(lines: &str) -> FenceConfig {
    let text = format!(
        "node.name = \"n1\"\n[ha]\nendpoint = \"unix:/x\"\nprocess = \"0x7200000000000001:0x0\"\n\
         ha_service = \"0x7300000000000001:0x1\"\nrm_service = \"0x7300000000000001:0x2\"\n\
         [fence]\nenabled = true\n{lines}"
    );
    let config = Config::from_toml("hax.toml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    config.fence.unwrap()
}
