//! The configuration of plugins: `[plugins]` of the main file, and snippets (`rfc/14-plugins.md`).

mod foreign;
mod model;
mod prometheus;
mod read;
pub(in crate::config) mod schema;
mod snippet;
mod snippet_dir;
mod snippet_schema;
#[cfg(test)]
mod tests;
mod umh;
mod umh_value;

pub use model::{
    Commands, DrbdConfig, Matcher, PluginConfig, PluginsConfig, PrometheusConfig, Rule, State,
    Test, UmhConfig,
};
pub(in crate::config) use read::read;
pub use snippet::{SNIPPET_MAX, check_snippet};
pub use snippet_dir::{SNIPPETS_MAX, load_snippets};
pub use snippet_schema::{snippet_reference, snippet_reference_table};
