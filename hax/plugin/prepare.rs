//! Preparing an instance, in a thread of its own and in bounded time.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::instance::{Failure, InstanceName, Plugin};
use super::thread::panicked;
use crate::config::plugin::PluginConfig;

/// The kinds of plugins: makes instances of configurations.
pub trait Kinds: Send + Sync {
    /// Checks and takes what can be had without doing anything. Runs in a thread of its own, beside
    /// others and beside instances that run; may block, `plugins.start_timeout` at most.
    ///
    /// `replaced` is the configuration of the instance of that name that is to be stopped for this one, and may run
    /// still: what it holds is handed over.
    ///
    /// # Errors
    /// Why there can be no such instance now.
    fn prepare(
        &self,
        name: &InstanceName,
        config: &PluginConfig,
        replaced: Option<&PluginConfig>,
    ) -> Result<Box<dyn Plugin>, Failure>;
}

/// A prepared instance.
pub(crate) struct Prepared {
    pub(crate) plugin: Box<dyn Plugin>,
    pub(crate) stop_extra: Duration,
}

/// Prepares instances.
#[derive(Clone)]
pub(crate) struct Preparer {
    kinds: Arc<dyn Kinds>,
    bound: Duration,
    /// Who is being prepared. A thread that does not come back stays in it: there is never more than one for a name.
    busy: Arc<Mutex<BTreeSet<InstanceName>>>,
}

impl Preparer {
    pub(crate) fn new(kinds: Arc<dyn Kinds>, bound: Duration) -> Self {
        Self {
            kinds,
            bound,
            busy: Arc::default(),
        }
    }

    /// Prepares an instance. If the future is dropped, what comes of it is dropped too.
    ///
    /// # Errors
    /// What the kind says, its panic, or that it does not come back in time.
    pub(crate) async fn prepare(
        &self,
        name: &InstanceName,
        config: &Arc<PluginConfig>,
        replaced: Option<&Arc<PluginConfig>>,
    ) -> Result<Prepared, Failure> {
        let Some(claim) = Claim::take(&self.busy, name) else {
            let why = "its preparation of before has not come back yet";
            return Err(Failure(why.to_owned()));
        };
        let (reply, answer) = oneshot::channel();
        let kinds = Arc::clone(&self.kinds);
        let (name, config, replaced) = (name.clone(), Arc::clone(config), replaced.cloned());
        let builder = std::thread::Builder::new().name(format!("p+{name}"));
        let body = move || {
            let prepare = || {
                let plugin = kinds.prepare(&name, &config, replaced.as_deref())?;
                let stop_extra = plugin.stop_extra();
                Ok(Prepared { plugin, stop_extra })
            };
            let result = catch_unwind(AssertUnwindSafe(prepare))
                .unwrap_or_else(|payload| Err(panicked(payload.as_ref())));
            drop(claim);
            // If nobody waits any more, it is dropped here.
            let _ = reply.send(result);
        };
        if let Err(error) = builder.spawn(body) {
            return Err(Failure(format!("gets no thread: {error}")));
        }
        match timeout(self.bound, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure(
                "its preparation has ended without a word".to_owned(),
            )),
            Err(_) => Err(Failure(format!("is not prepared after {:?}", self.bound))),
        }
    }
}

/// A name's place among those that are being prepared.
struct Claim {
    busy: Arc<Mutex<BTreeSet<InstanceName>>>,
    name: InstanceName,
}

impl Claim {
    fn take(busy: &Arc<Mutex<BTreeSet<InstanceName>>>, name: &InstanceName) -> Option<Self> {
        let mut names = busy.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.clone()).then(|| Self {
            busy: Arc::clone(busy),
            name: name.clone(),
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut names = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(&self.name);
    }
}
