//! The kind `umh`: runs commands (rfc/14, "Kinds").
//!
//! ```text
//!   feed ─▶ matching ─▶ queue ─▶ run ─▶ process group
//!                                 └──▶ log, counters
//! ```

mod counters;
mod engine;
mod environment;
mod matching;
mod output;
mod queue;
mod run;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, access};

use crate::config::plugin::{Commands, Rule, UmhConfig};

use super::instance::{Context, Failure, Plugin, Running};

/// Target of its lines.
const TARGET: &str = "hax::plugin::umh";

/// An instance of the kind `umh`, its programs looked for.
#[derive(Debug)]
pub struct Umh {
    config: UmhConfig,
    node: Arc<str>,
}

impl Umh {
    /// Looks for the program of every rule. `node` is this node's name.
    ///
    /// # Errors
    /// Each rule with a program that is not there or cannot be run, or with an environment that none can have.
    pub fn prepare(config: UmhConfig, node: impl Into<Arc<str>>) -> Result<Self, Failure> {
        let problem = |rule: &Rule| {
            let problem = check_program(rule).and_then(|()| check_environment(rule));
            let why = problem.err()?;
            Some(format!("rule `{}`: {why}", rule.name))
        };
        let problems: Vec<String> = config.rules.iter().filter_map(problem).collect();
        if problems.is_empty() {
            let node = node.into();
            return Ok(Self { config, node });
        }
        Err(Failure(problems.join("; ")))
    }
}

impl Plugin for Umh {
    fn run(self: Box<Self>, context: Context) -> Running {
        Box::pin(async move {
            engine::run_instance(self.config, &self.node, context).await;
            Ok(())
        })
    }

    fn stop_extra(&self) -> Duration {
        run::GRACE + run::LET_GO
    }
}

fn check_program(rule: &Rule) -> Result<(), String> {
    let program = match &rule.command {
        Commands::Shell(_) => run::SHELL,
        Commands::Program(words) => words.first().map_or("", String::as_str),
    };
    let path = Path::new(program);
    if !path.is_absolute() {
        return Err(format!(
            "`command` begins with `{program}`, which is no absolute path"
        ));
    }
    let file = path
        .metadata()
        .map_err(|error| format!("the program {program} cannot be used: {error}"))?;
    if !file.is_file() {
        return Err(format!(
            "{program} is no file: `command` begins with a program"
        ));
    }
    access(path, Access::EXEC_OK)
        .map_err(|error| format!("the program {program} cannot be executed: {error}; chmod +x"))
}

/// Says nothing of values: they may be secret.
fn check_environment(rule: &Rule) -> Result<(), String> {
    for (name, value) in &rule.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err("a name in `env` is empty, or has `=` or NUL".to_owned());
        }
        if value.contains('\0') {
            return Err(format!("the value of `env.{name}` has a NUL"));
        }
    }
    Ok(())
}
