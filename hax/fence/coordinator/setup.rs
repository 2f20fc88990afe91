//! From the daemon's configuration to a running coordinator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use consul_client::Client;
use halink::Fid;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Coordinator, Setup};
use crate::config::Config;
use crate::config::fence::FenceConfig;
use crate::fence::audit::{Audit, AuditLink, Bounds};
use crate::fence::executor::{Executor, LocalProcesses, Traits};
use crate::fence::lint::{lint, named_nodes};
use crate::fence::model::{DeviceName, Ended, NodeName, RunResult};
use crate::fence::{About, FenceHandle};

/// What is ready before any task runs: the devices of this node can be used as they are configured.
pub struct Prepared {
    config: Arc<FenceConfig>,
    node: NodeName,
    executor: Executor,
    lint: Vec<String>,
    audit: (Audit, AuditLink),
}

/// Stands for the Motr processes of a node where nothing can end them: what is asked for fails.
struct NoProcesses(NodeName);

impl LocalProcesses for NoProcesses {
    fn kill(&self, process: Fid, _timeout: Duration) -> oneshot::Receiver<Ended> {
        let (answer, answered) = oneshot::channel();
        let ended = Ended {
            result: RunResult::Internal,
            evidence: format!("this bridge cannot end process {process}"),
            took_ms: 0,
        };
        // Who does not wait for the answer does not need it.
        let _ = answer.send(ended);
        answered
    }

    fn all(&self) -> Vec<Fid> {
        Vec::new()
    }

    fn node(&self) -> NodeName {
        self.0.clone()
    }
}

/// What of the configured devices this machine could not use as they are configured, one sentence each. The
/// agents' metadata is read; nothing else is done.
pub async fn unusable(config: &Config) -> Vec<String> {
    let Some(fence) = &config.fence else {
        return Vec::new();
    };
    let node: NodeName = match config.node.name.parse() {
        Ok(node) => node,
        Err(error) => return vec![format!("node.name: {error}")],
    };
    let local = Arc::new(NoProcesses(node.clone()));
    let errors = Executor::prepare(fence, &node, local).await.err();
    let errors = errors.unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

/// Reads the metadata of the agents; none if fencing is not configured.
///
/// # Errors
/// Each device that cannot be used as it is configured, all of them at once; an audit file that cannot be
/// written.
pub async fn prepare(
    config: &Config,
    local: impl FnOnce(NodeName) -> Arc<dyn LocalProcesses>,
) -> Result<Option<Prepared>> {
    let Some(fence) = &config.fence else {
        return Ok(None);
    };
    let node: NodeName = config.node.name.parse().context("node.name")?;
    let executor = Executor::prepare(fence, &node, local(node.clone())).await;
    let executor = executor.map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        anyhow!("{}", errors.join("\n"))
    })?;
    // It looks at a few files; nothing else runs yet.
    let lint = lint(fence, &named_nodes(fence));
    for finding in &lint {
        warn!("{finding}");
    }
    let audit = Audit::open(&fence.audit_file, node.clone(), Bounds::default()).await;
    let audit = audit.context("fence.audit_file")?;
    Ok(Some(Prepared {
        config: Arc::new(fence.clone()),
        node,
        executor,
        lint: lint.iter().map(ToString::to_string).collect(),
        audit,
    }))
}

impl Prepared {
    /// What the devices of this node can do.
    pub fn traits(&self) -> &BTreeMap<DeviceName, Traits> {
        self.executor.traits()
    }

    /// Starts the coordinator; see [`Coordinator::spawn`].
    pub fn spawn(
        self,
        config: &Config,
        consul: &Client,
        stop: CancellationToken,
    ) -> (FenceHandle, Coordinator) {
        let (audit, link) = self.audit;
        let about = About::new(self.node.clone(), &self.config, self.lint, link);
        let setup = Setup {
            config: self.config,
            node: self.node,
            consul: consul.clone(),
            timeout: config.consul.timeout,
            executor: self.executor,
            audit,
        };
        let (handle, coordinator) = Coordinator::spawn(setup, stop);
        (handle.with_about(about), coordinator)
    }
}
