//! Plugins in the daemon: their host, what it is told, and reloads (`rfc/14-plugins.md`).

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use halink::Fid;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::bridge::{Parts, SharedVerdicts};
use crate::config::Config;
use crate::config::plugin::PluginsConfig;
use crate::consul;
use crate::fence::FenceHandle;
use crate::plugin::source::{BridgeSource, FenceSource, ViewSource};
use crate::plugin::{
    BuiltIn, DrbdSource, Environment, Host, Hub, Outcome, PluginsHandle, Reloads, Setup, Source,
    Timing,
};
use crate::tasks::Tasks;

/// What plugins are told of.
pub(super) struct Needs {
    pub(super) parts: Arc<Parts>,
    pub(super) verdicts: SharedVerdicts,
    pub(super) fence: Option<FenceHandle>,
    pub(super) own: Fid,
}

/// Running plugins.
pub(super) struct Plugins {
    host: Host,
    handle: PluginsHandle,
}

impl Needs {
    /// Starts the host without instances, if plugins are configured.
    pub(super) fn spawn(
        self,
        config: &Config,
        tasks: &mut Tasks,
        stop: &CancellationToken,
    ) -> Result<Option<Plugins>> {
        let Some(settings) = &config.plugins else {
            return Ok(None);
        };
        if settings.watch {
            bail!("plugins.watch: is not available yet; send SIGHUP, or POST /v1/plugins/reload");
        }
        let hub = Hub::default();
        let node: Arc<str> = config.node.name.as_str().into();
        let setup = Setup {
            environment: Environment {
                node: Arc::clone(&node),
                hub: hub.clone(),
                consul: consul::settings(&config.consul)?,
                runtime_dir: settings.runtime_dir.clone(),
                queue_max: settings.queue_max,
            },
            kinds: Arc::new(BuiltIn { node }),
            timing: Timing::new(settings.start_timeout, settings.stop_timeout),
            sources: self.sources(settings),
        };
        let host = Host::spawn(setup).context("[plugins]")?;
        let (reloads, handle) = Reloads::new(settings.snippets.clone(), host.handle(), hub);
        tasks.add("reloads", tokio::spawn(reloads.run(stop.clone())));
        Ok(Some(Plugins { host, handle }))
    }

    fn sources(self, settings: &PluginsConfig) -> Vec<Source> {
        let view = ViewSource {
            view: self.parts.view.snapshots(),
            verdicts: self.verdicts,
            own: self.own,
        };
        let bridge = BridgeSource { parts: self.parts };
        let mut sources = vec![
            Source {
                name: "view",
                start: Box::new(move |hub, stop| Box::pin(view.run(hub, stop))),
            },
            Source {
                name: "bridge",
                start: Box::new(move |hub, stop| Box::pin(bridge.run(hub, stop))),
            },
        ];
        if let Some(fence) = self.fence {
            let fence = FenceSource {
                view: fence.views(),
            };
            sources.push(Source {
                name: "fence",
                start: Box::new(move |hub, stop| Box::pin(fence.run(hub, stop))),
            });
        }
        if let Some(drbd) = settings.drbd.clone() {
            sources.push(Source {
                name: "drbd",
                start: Box::new(move |hub, stop| Box::pin(DrbdSource::new(drbd, hub).run(stop))),
            });
        }
        sources
    }
}

impl Plugins {
    /// The way to them.
    pub(super) fn handle(&self) -> PluginsHandle {
        self.handle.clone()
    }

    /// Reads the snippets for the first time: all of it must run.
    pub(super) async fn start(&self) -> Result<()> {
        match self.handle.reload().await? {
            outcome @ Outcome::Done { .. } => info!(%outcome, "plugins run"),
            outcome => bail!("plugins.snippets: {outcome}"),
        }
        Ok(())
    }

    /// Stops all of it, if there is any.
    pub(super) async fn stop(plugins: Option<Self>) {
        if let Some(plugins) = plugins
            && let Err(error) = plugins.host.stop().await
        {
            warn!(%error, "the plugin host did not stop in order");
        }
    }
}

/// Has the snippets read anew; what comes of it is logged.
pub(super) fn reload(plugins: Option<&Plugins>) {
    let Some(plugins) = plugins else {
        info!("there are no plugins to reload");
        return;
    };
    if let Err(error) = plugins.handle.ask() {
        error!(%error, "plugins are not reloaded");
    }
}
