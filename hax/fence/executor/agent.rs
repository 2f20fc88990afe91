//! Fence agents: `key=value` lines on stdin, exit codes, and metadata.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::fence::{AgentConfig, Unfence};
use crate::fence::model::DeviceName;

use super::api::Traits;
use super::evidence::{Said, evidence, said};
use super::guarded::{Guard, Work};
use super::metadata::{METADATA_MAX, Metadata};
use super::parameters::{DeviceError, check};
use super::program::{Aim, Bounds, Call, Verb};
use super::secrets::{self, BLOT, Secrets};

/// How long an agent may take to describe itself. Most are Python on a machine that may be busy.
const METADATA_TIMEOUT: Duration = Duration::from_secs(30);

/// An agent device whose configuration fits its agent.
#[derive(Debug)]
pub(super) struct Agent {
    program: PathBuf,
    config: AgentConfig,
    metadata: Metadata,
    port: Option<String>,
}

/// Where the program of an agent is.
pub(super) fn program_of(config: &AgentConfig, agent_dir: &Path) -> PathBuf {
    agent_dir.join(&config.program)
}

/// Asks an agent what it is.
///
/// # Errors
/// It cannot be run, or does not say.
pub(super) async fn describe(guard: &Guard, program: &Path) -> Result<Metadata, String> {
    let bounds = Bounds::within(METADATA_TIMEOUT, Duration::from_secs(1));
    let work = Work {
        program: program.to_owned(),
        args: Vec::new(),
        input: "action=metadata\n".to_owned(),
        start_by: bounds.start_by,
        deadline: bounds.deadline,
        grace: bounds.grace,
        head: METADATA_MAX,
    };
    let report = guard.run(work, &CancellationToken::new()).await;
    if said(&report) != Said::Exit(0) {
        let evidence = evidence(&report, &Secrets::default());
        return Err(format!("the agent does not tell its metadata: {evidence}"));
    }
    let Some(text) = report.head else {
        return Err(format!("its metadata is longer than {METADATA_MAX} bytes"));
    };
    Metadata::parse(&text)
}

impl Agent {
    /// # Errors
    /// Each parameter that does not fit.
    pub(super) async fn new(
        device: &DeviceName,
        config: &AgentConfig,
        program: PathBuf,
        metadata: Metadata,
    ) -> Result<Self, Vec<DeviceError>> {
        let named = config.port_parameter.as_deref();
        let port = named.or_else(|| metadata.port()).map(str::to_owned);
        let mut errors = check(device, config, &metadata, port.as_deref());
        for (name, file) in &config.secrets {
            let path = file.path();
            if let Err(why) = secrets::read(path).await {
                let problem = format!("{} {why}", path.display());
                errors.push(DeviceError::new(device, format!("secrets.{name}"), problem));
            } else if secrets::is_open_to_others(path) {
                tracing::warn!(
                    device = %device,
                    file = %path.display(),
                    "the file of a secret is open to others than its owner: chmod 600"
                );
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            program,
            config: config.clone(),
            metadata,
            port,
        })
    }

    /// What it can do.
    pub(super) fn traits(&self, unfence: Unfence) -> Traits {
        let knows = |name: &str| self.metadata.action(name).is_some();
        let on = self.metadata.action("on");
        let (automatic, on_target) = match unfence {
            Unfence::Never => (false, false),
            Unfence::Automatic => (true, false),
            Unfence::AutomaticOnTarget => (true, true),
            Unfence::Metadata => (
                on.is_some_and(|on| on.automatic),
                on.is_some_and(|on| on.on_target),
            ),
        };
        Traits {
            on: on.is_some(),
            reboot: knows("reboot"),
            list: knows("list"),
            status: knows("status"),
            automatic,
            on_target,
        }
    }

    /// Whether it knows an action.
    pub(super) fn knows(&self, verb: Verb) -> bool {
        self.metadata.action(verb.as_str()).is_some()
    }

    /// The call for an action.
    ///
    /// # Errors
    /// A secret cannot be read, or a value is no line.
    pub(super) async fn call(&self, verb: Verb, aim: Option<Aim<'_>>) -> Result<Call, String> {
        let mut secrets = Secrets::default();
        let mut lines = self.lines(verb, aim);
        for (name, value) in &self.config.parameters {
            if secrets::is_secret_name(name) {
                secrets.add(value);
            }
        }
        for (name, file) in &self.config.secrets {
            let path = file.path();
            let value = secrets::read(path)
                .await
                .map_err(|why| format!("the secret {name} in {} {why}", path.display()))?;
            secrets.add(&value);
            lines.push((name.clone(), value));
        }
        let mut input = String::new();
        for (name, value) in &lines {
            if value.contains(['\n', '\r', '\0']) {
                return Err(format!("the value of {name} has a line end or a NUL"));
            }
            input.push_str(&format!("{name}={value}\n"));
        }
        Ok(Call {
            program: self.program.clone(),
            args: Vec::new(),
            input,
            secrets,
        })
    }

    /// What it would be given, secrets blotted out.
    pub(super) fn input(&self, verb: Verb, aim: Option<Aim<'_>>) -> Vec<(String, String)> {
        let mut lines = self.lines(verb, aim);
        for (name, value) in &mut lines {
            if secrets::is_secret_name(name) {
                *value = BLOT.to_owned();
            }
        }
        let secrets = self.config.secrets.keys();
        lines.extend(secrets.map(|name| (name.clone(), BLOT.to_owned())));
        lines
    }

    /// All but the secrets that are in files.
    fn lines(&self, verb: Verb, aim: Option<Aim<'_>>) -> Vec<(String, String)> {
        let mut lines = vec![("action".to_owned(), verb.as_str().to_owned())];
        if let Some(aim) = aim {
            lines.push(("nodename".to_owned(), aim.node.to_string()));
            if let Some(port) = &self.port {
                lines.push((port.clone(), aim.port.to_owned()));
            }
        }
        let parameters = self.config.parameters.iter();
        lines.extend(parameters.map(|(name, value)| (name.clone(), value.clone())));
        lines
    }
}
