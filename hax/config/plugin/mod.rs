//! The configuration of plugins: `[plugins]` of the main file, and snippets (`rfc/14-plugins.md`).

mod model;

pub use model::{
    Commands, DrbdConfig, Matcher, PluginConfig, PluginsConfig, PrometheusConfig, Rule, State,
    Test, UmhConfig,
};
