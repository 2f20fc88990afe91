//! A device that this node can use.

use tokio_util::sync::CancellationToken;

use crate::config::fence::{CommandConfig, DeviceConfig, DeviceKind, Unfence};
use crate::fence::model::{Action, NodeName, RunResult, Target};

use super::agent::Agent;
use super::api::Traits;
use super::command;
use super::guarded::Guard;
use super::program::{Aim, Bounds, Call, Called, Verb};

/// A device, ready for use.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) config: DeviceConfig,
    pub(super) traits: Traits,
    pub(super) kind: Kind,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Kind {
    /// An agent or commands: a program that is run.
    Program(Program),
    /// The kinds without a program are as they are configured.
    Other,
}

/// A program that is run.
#[derive(Debug)]
pub(super) enum Program {
    Agent(Agent),
    Command(CommandConfig),
}

impl Device {
    /// A device of any kind but `agent`.
    pub(super) fn without_agent(config: &DeviceConfig) -> Self {
        let automatic = matches!(
            config.unfence,
            Unfence::Automatic | Unfence::AutomaticOnTarget
        );
        let on_target = config.unfence == Unfence::AutomaticOnTarget;
        let kind = match &config.kind {
            DeviceKind::Command(commands) => Kind::Program(Program::Command(commands.clone())),
            _ => Kind::Other,
        };
        let traits = match &config.kind {
            DeviceKind::Command(commands) => command::traits(commands, automatic, on_target),
            DeviceKind::Dummy(_) | DeviceKind::Files(_) => Traits {
                on: true,
                reboot: true,
                automatic,
                on_target,
                ..Traits::default()
            },
            // What has killed or reset itself is off and comes back in one.
            DeviceKind::Process | DeviceKind::Watchdog(_) | DeviceKind::Agent(_) => Traits {
                reboot: true,
                ..Traits::default()
            },
        };
        Self {
            config: config.clone(),
            traits,
            kind,
        }
    }

    /// An agent device.
    pub(super) fn of_agent(config: &DeviceConfig, agent: Agent) -> Self {
        Self {
            traits: agent.traits(config.unfence),
            config: config.clone(),
            kind: Kind::Program(Program::Agent(agent)),
        }
    }

    /// The program, if the device is one.
    pub(super) fn program(&self) -> Option<&Program> {
        match &self.kind {
            Kind::Program(program) => Some(program),
            Kind::Other => None,
        }
    }

    /// What the device calls a node: as `ports` says, else by its name.
    pub(super) fn port<'a>(&'a self, node: &'a NodeName) -> &'a str {
        let mapped = self.config.hosts.map.get(node);
        mapped.map_or(node.as_str(), String::as_str)
    }

    /// One call of the device's program.
    pub(super) async fn call(
        &self,
        guard: &Guard,
        verb: Verb,
        aim: Option<Aim<'_>>,
        bounds: Bounds,
        cancel: &CancellationToken,
    ) -> Called {
        let call = match self.program() {
            Some(program) => program.call(verb, aim).await,
            None => Err(format!("the device has no program for {}", verb.as_str())),
        };
        match call {
            Ok(call) => call.run(guard, verb, bounds, cancel).await,
            Err(why) => Called::impossible(why),
        }
    }

    /// A call that only asks, on its own time.
    pub(super) async fn ask(&self, guard: &Guard, verb: Verb, aim: Option<Aim<'_>>) -> Called {
        let timeout = verb.timeout(&self.config.timeouts);
        let bounds = Bounds::within(timeout, self.config.kill_grace);
        let cancel = CancellationToken::new();
        self.call(guard, verb, aim, bounds, &cancel).await
    }
}

impl Program {
    /// Whether it knows an action.
    pub(super) fn knows(&self, verb: Verb) -> bool {
        match self {
            Self::Agent(agent) => agent.knows(verb),
            Self::Command(config) => command::words(config, verb).is_some(),
        }
    }

    async fn call(&self, verb: Verb, aim: Option<Aim<'_>>) -> Result<Call, String> {
        match self {
            Self::Agent(agent) => agent.call(verb, aim).await,
            Self::Command(config) => command::call(config, verb, aim),
        }
    }

    /// What it would be given, secrets blotted out.
    pub(super) fn input(&self, verb: Verb, aim: Aim<'_>) -> Vec<(String, String)> {
        match self {
            Self::Agent(agent) => agent.input(verb, Some(aim)),
            Self::Command(config) => {
                let Ok(call) = command::call(config, verb, Some(aim)) else {
                    return Vec::new();
                };
                let program = call.program.display().to_string();
                let words = std::iter::once(program).chain(call.args);
                vec![("command".to_owned(), words.collect::<Vec<_>>().join(" "))]
            }
        }
    }

    /// Whether the exit codes of off, on and reboot tell what went wrong.
    pub(super) fn tells_class(&self) -> bool {
        matches!(self, Self::Command(_))
    }
}

/// What the exit code of a status means.
pub(super) fn status_class(code: i32) -> RunResult {
    match code {
        0 | 2 => RunResult::Success,
        1 => RunResult::Unreachable,
        _ => RunResult::NotAcknowledged,
    }
}

/// The node that a device for nodes is to fence.
///
/// # Errors
/// The target is a process: its node must not be fenced instead.
pub(super) fn node_of(target: &Target) -> Result<&NodeName, String> {
    match target {
        Target::Node(node) => Ok(node),
        Target::Process { .. } => Err(format!(
            "{target} is a process, and the device fences nodes only"
        )),
    }
}

/// The actions in the order in which a reboot is done without `reboot`.
pub(super) const REBOOT: [Action; 2] = [Action::Off, Action::On];
