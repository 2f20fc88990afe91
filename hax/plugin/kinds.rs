//! The kinds that are built in.

use std::sync::Arc;

use super::debugger::Debugger;
use super::instance::{Failure, InstanceName, Plugin};
use super::prepare::Kinds;
use super::umh::Umh;
use crate::config::plugin::PluginConfig;

/// Makes instances of the kinds of `rfc/14-plugins.md`.
#[derive(Debug)]
pub struct BuiltIn {
    /// This node's name in Consul.
    pub node: Arc<str>,
}

impl Kinds for BuiltIn {
    fn prepare(
        &self,
        _name: &InstanceName,
        config: &PluginConfig,
        _replaced: Option<&PluginConfig>,
    ) -> Result<Box<dyn Plugin>, Failure> {
        match config {
            PluginConfig::Debugger => Ok(Box::new(Debugger)),
            PluginConfig::Umh(config) => {
                let umh = Umh::prepare(config.clone(), Arc::clone(&self.node))?;
                Ok(Box::new(umh))
            }
            PluginConfig::Prometheus(_) => {
                let why =
                    "the kind `prometheus` is not available yet; GET /metrics of http.listen is";
                Err(Failure(why.to_owned()))
            }
        }
    }
}
