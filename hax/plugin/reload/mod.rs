//! From one set of instances to another, or back (`rfc/14-plugins.md`, "Reload").

mod difference;
mod outcome;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tracing::{info, warn};

use difference::Difference;
pub use outcome::{InstanceError, Outcome};

use super::instance::InstanceName;
use super::prepare::Prepared;
use super::supervisor::Supervisor;
use super::thread::Run;
use crate::config::plugin::PluginConfig;

type Configs = BTreeMap<InstanceName, Arc<PluginConfig>>;

impl Supervisor {
    /// Makes the instances those of `new`, or leaves or brings back those that were.
    pub(super) async fn reload(&mut self, new: Configs) -> Outcome {
        let old = self.configs();
        let difference = Difference::of(&old, &new);
        let outcome = match self.check(&difference, &old, &new).await {
            Ok(prepared) => self.change(difference, prepared, &old, &new).await,
            Err(errors) => Outcome::Refused { errors },
        };
        match &outcome {
            Outcome::Done { .. } => info!(%outcome, "plugins are reloaded"),
            _ => warn!(%outcome, "plugins are not reloaded"),
        }
        outcome
    }

    /// Everything that can fail while the old instances run.
    async fn check(
        &self,
        difference: &Difference,
        old: &Configs,
        new: &Configs,
    ) -> Result<Vec<(InstanceName, Prepared)>, Vec<InstanceError>> {
        // What is stuck already would only cost the others a stop and a start.
        let mut touched = difference.leaving();
        touched.extend(difference.added.iter().cloned());
        let stuck = touched.into_iter().filter(|name| self.is_stuck(name));
        let mut errors = Vec::from_iter(stuck.map(|name| InstanceError::stuck(&name)));
        if !errors.is_empty() {
            return Err(errors);
        }
        let arriving = difference.arriving();
        let preparing = arriving.iter().filter_map(|name| {
            let config = new.get(name)?;
            let preparer = &self.parts.preparer;
            Some(async move { (name, preparer.prepare(name, config, old.get(name)).await) })
        });
        let mut prepared = Vec::new();
        for (name, result) in join_all(preparing).await {
            match result {
                Ok(instance) => prepared.push((name.clone(), instance)),
                Err(failure) => errors.push(InstanceError::new(name, &failure)),
            }
        }
        if errors.is_empty() {
            Ok(prepared)
        } else {
            Err(errors)
        }
    }

    async fn change(
        &mut self,
        difference: Difference,
        prepared: Vec<(InstanceName, Prepared)>,
        old: &Configs,
        new: &Configs,
    ) -> Outcome {
        let (leaving, arriving) = (difference.leaving(), difference.arriving());
        let stuck = self.stop(&leaving).await;
        if !stuck.is_empty() {
            drop(prepared);
            let errors = stuck.keys().map(InstanceError::stuck).collect();
            return self.roll_back(errors, &leaving, old, stuck).await;
        }
        for (name, prepared) in prepared {
            self.start(&name, new.get(&name).cloned(), Some(prepared), None);
        }
        let errors = self.firsts(&arriving).await;
        if !errors.is_empty() {
            let stuck = self.stop(&arriving).await;
            return self.roll_back(errors, &leaving, old, stuck).await;
        }
        Outcome::Done {
            unchanged: difference.unchanged,
            started: difference.added,
            stopped: difference.removed,
            replaced: difference.changed,
        }
    }

    /// Starts what was stopped. The place of a stuck thread is taken when it has ended.
    async fn roll_back(
        &mut self,
        mut errors: Vec<InstanceError>,
        stopped: &[InstanceName],
        old: &Configs,
        mut stuck: BTreeMap<InstanceName, Run>,
    ) -> Outcome {
        for name in stopped {
            self.start(name, old.get(name).cloned(), None, stuck.remove(name));
        }
        for (name, run) in stuck {
            errors.push(InstanceError::stuck(&name));
            self.start(&name, None, None, Some(run));
        }
        let lost = self.firsts(stopped).await;
        let whole = lost.is_empty();
        for error in lost {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        Outcome::RolledBack { errors, whole }
    }

    /// Waits until it is known of each whether it has got ready.
    async fn firsts(&self, names: &[InstanceName]) -> Vec<InstanceError> {
        let mut errors = Vec::new();
        for name in names {
            if let Err(failure) = self.first(name).await {
                errors.push(InstanceError::new(name, &failure));
            }
        }
        errors
    }
}
