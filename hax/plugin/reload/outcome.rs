//! How a reload has ended.

use std::fmt;

use serde::Serialize;

use crate::plugin::instance::{Failure, InstanceName};

/// What went wrong with one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceError {
    /// Its name.
    pub instance: InstanceName,
    /// What, to follow the name in a message.
    pub error: String,
}

impl InstanceError {
    pub(super) fn new(instance: &InstanceName, failure: &Failure) -> Self {
        Self {
            instance: instance.clone(),
            error: failure.0.clone(),
        }
    }

    pub(super) fn stuck(instance: &InstanceName) -> Self {
        Self {
            instance: instance.clone(),
            error: "is stuck: it was told to stop, and its thread does not end".to_owned(),
        }
    }
}

/// How a reload has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// The new set runs.
    Done {
        /// Left alone.
        unchanged: Vec<InstanceName>,
        /// New ones.
        started: Vec<InstanceName>,
        /// Those that are gone.
        stopped: Vec<InstanceName>,
        /// Those that run with another configuration.
        replaced: Vec<InstanceName>,
    },
    /// Nothing was changed.
    Refused {
        /// Why.
        errors: Vec<InstanceError>,
    },
    /// The new set did not get to run, and the old one was started again.
    RolledBack {
        /// Why, and what is wrong with the old set.
        errors: Vec<InstanceError>,
        /// Whether all of the old set runs; those that do not are tried again and again.
        whole: bool,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = match self {
            Self::Done {
                unchanged,
                started,
                stopped,
                replaced,
            } => {
                return write!(
                    f,
                    "{} started, {} replaced, {} stopped, {} unchanged",
                    started.len(),
                    replaced.len(),
                    stopped.len(),
                    unchanged.len()
                );
            }
            Self::Refused { errors } => {
                f.write_str("refused, nothing is changed")?;
                errors
            }
            Self::RolledBack { errors, whole } => {
                f.write_str("rolled back, ")?;
                f.write_str(if *whole {
                    "the old set runs"
                } else {
                    "and not all of the old set runs"
                })?;
                errors
            }
        };
        let mut errors = errors.iter();
        errors.try_for_each(|InstanceError { instance, error }| write!(f, "; {instance}: {error}"))
    }
}
