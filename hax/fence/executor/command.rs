//! Devices that are commands.

use std::path::PathBuf;

use crate::config::fence::CommandConfig;
use crate::fence::model::{Action, RunResult};

use super::api::Traits;
use super::program::{Aim, Call, Verb};
use super::secrets::Secrets;

/// What the commands can do.
pub(super) fn traits(config: &CommandConfig, automatic: bool, on_target: bool) -> Traits {
    Traits {
        on: config.on.is_some(),
        reboot: config.reboot.is_some(),
        list: config.list.is_some(),
        status: config.status.is_some(),
        automatic,
        on_target,
    }
}

/// The command for an action, if there is one.
pub(super) fn words(config: &CommandConfig, verb: Verb) -> Option<&[String]> {
    match verb {
        Verb::Fence(Action::Off) => Some(&config.off),
        Verb::Fence(Action::On) => config.on.as_deref(),
        Verb::Fence(Action::Reboot) => config.reboot.as_deref(),
        Verb::Status => config.status.as_deref(),
        Verb::Monitor => config.monitor.as_deref(),
        Verb::List => config.list.as_deref(),
    }
}

/// The call for an action.
///
/// # Errors
/// There is no command for it.
pub(super) fn call(
    config: &CommandConfig,
    verb: Verb,
    aim: Option<Aim<'_>>,
) -> Result<Call, String> {
    let Some([program, args @ ..]) = words(config, verb) else {
        return Err(format!("the device has no command for {}", verb.as_str()));
    };
    let filled = |word: &String| match aim {
        // The port first: it is from the configuration, the name of a node has no braces.
        Some(aim) => word
            .replace("{port}", aim.port)
            .replace("{target}", aim.node.as_str()),
        None => word.clone(),
    };
    let args: Vec<String> = args.iter().map(filled).collect();
    if args.iter().any(|arg| arg.contains('\0')) {
        return Err("an argument has a NUL".to_owned());
    }
    Ok(Call {
        program: PathBuf::from(program),
        args,
        input: String::new(),
        secrets: Secrets::default(),
    })
}

/// What the exit code of off, on and reboot means: the Executioner's classes.
pub(super) fn class(code: i32) -> RunResult {
    match code {
        0 => RunResult::Success,
        1 => RunResult::Unreachable,
        3 => RunResult::Internal,
        _ => RunResult::NotAcknowledged,
    }
}
