//! `haxctl fence`.

pub mod args;
mod audit;
mod explain;
mod history;
mod plan;
mod request;
mod status;
pub(super) mod text;
mod who;

#[cfg(test)]
mod tests;

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::args::{Command, Fence};
use super::bridge::{Bridge, Call};
use super::failure::Failure;
use crate::fence::model::{Action, DeviceName, Ended, NodeName, OpId};

/// What a command prints, and what it ends with.
#[derive(Debug)]
pub(super) struct Done {
    /// For stdout.
    pub(super) text: String,
    /// For stderr, and the exit code.
    pub(super) failure: Option<Failure>,
}

impl From<String> for Done {
    fn from(text: String) -> Self {
        let failure = None;
        Self { text, failure }
    }
}

/// Does what is asked.
///
/// # Errors
/// What kept it from being done.
pub(super) async fn run(args: &Fence) -> Result<Done, Failure> {
    let command = args.command.as_ref().unwrap_or(&Command::Status);
    if let Command::Audit(args::Audit::Verify { files, expect }) = command {
        return audit::verify(files, *expect, args.json);
    }
    let client = Client {
        bridge: Bridge::new(args.hax.as_deref())?,
        json: args.json,
    };
    match command {
        Command::Status => client.show("/v1/fence", Vec::new(), status::status).await,
        Command::Devices => {
            let list = |list: Devices| status::devices(&list.devices);
            client.show("/v1/fence/devices", Vec::new(), list).await
        }
        Command::Ping { device } => client.ping(device).await,
        Command::Targets { device } => client.targets(device).await,
        Command::Plan { target, action } => {
            let action = Action::from(*action).as_str().to_owned();
            let query = vec![("target", target.to_string()), ("action", action)];
            plan::run(&client, query).await
        }
        Command::Run(args) => request::run(&client, args).await,
        Command::History { .. } => history::run(&client, command).await,
        Command::Explain { op } => explain::run(&client, op).await,
        Command::Confirm { target, reason } => {
            let path = format!("/v1/fence/nodes/{target}/confirm");
            let told = format!("{target} is confirmed by you");
            client.tell(Method::POST, &path, reason, told).await
        }
        Command::Cancel { op, reason } => {
            let path = format!("/v1/fence/ops/{op}/cancel");
            let told = format!("operation {op} is cancelled");
            client.tell(Method::POST, &path, reason, told).await
        }
        Command::Release {
            what,
            overridden,
            reason,
        } => client.release(what, *overridden, reason).await,
        Command::Inhibit {
            target,
            time,
            reason,
            ..
        } => {
            let (path, what) = match target {
                Some(target) => (format!("/v1/fence/inhibit/{target}"), target.to_string()),
                None => ("/v1/fence/inhibit".to_owned(), "everything".to_owned()),
            };
            let mut call = Call::new(Method::DELETE, &path);
            let mut body = by(reason);
            let mut told = format!("fencing of {what} is not inhibited any longer");
            if let Some(time) = time {
                call.method = Method::PUT;
                body["for_ms"] = json!(text::millis(*time));
                told = format!("fencing of {what} is inhibited for {time:?}");
            }
            call.body = Some(body);
            client.print(call, told).await
        }
        Command::Audit(_) => Ok(String::new().into()),
    }
}

#[derive(Debug, Deserialize)]
struct Devices {
    devices: Vec<crate::http::fence::DeviceRow>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    port: String,
    alias: Option<String>,
}

/// The members of every request that changes something.
fn by(reason: &str) -> Value {
    json!({ "who": who::caller(), "reason": reason })
}

/// A bridge, and how to print.
struct Client {
    bridge: Bridge,
    json: bool,
}

impl Client {
    /// Gets something, and prints it.
    async fn show<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Vec<(&'static str, String)>,
        render: impl FnOnce(T) -> String,
    ) -> Result<Done, Failure> {
        let mut call = Call::new(Method::GET, path);
        call.query = query;
        let value: Value = self.bridge.ask(call).await?;
        self.render(value, render)
    }

    fn render<T: DeserializeOwned>(
        &self,
        value: Value,
        render: impl FnOnce(T) -> String,
    ) -> Result<Done, Failure> {
        if self.json {
            return Ok(format!("{value:#}\n").into());
        }
        Ok(render(parsed(value)?).into())
    }

    /// Changes something, with who and why.
    async fn tell(
        &self,
        method: Method,
        path: &str,
        reason: &str,
        told: String,
    ) -> Result<Done, Failure> {
        let mut call = Call::new(method, path);
        call.body = Some(by(reason));
        self.print(call, told).await
    }

    async fn print(&self, mut call: Call<'_>, told: String) -> Result<Done, Failure> {
        // A commit may wait for an election.
        call.patience = text::COMMIT;
        let value: Value = self.bridge.ask(call).await?;
        self.render(value, |_: Value| format!("{told}\n"))
    }

    async fn release(&self, what: &str, overridden: bool, reason: &str) -> Result<Done, Failure> {
        let usage = |error: String| {
            let help =
                "a node is released by name, and a held operation by its number and --override";
            Failure::Usage(format!("{error}; {help}"))
        };
        if overridden {
            let op: OpId = what.parse().map_err(|error| usage(format!("{error}")))?;
            let path = format!("/v1/fence/ops/{op}/override");
            let told = format!("operation {op} passes the gates");
            return self.tell(Method::POST, &path, reason, told).await;
        }
        if what.parse::<OpId>().is_ok() {
            return Err(usage(format!("{what} is the number of an operation")));
        }
        let node: NodeName = what.parse().map_err(|error| usage(format!("{error}")))?;
        let path = format!("/v1/fence/nodes/{node}/release");
        let told = format!("{node} may take part again");
        self.tell(Method::POST, &path, reason, told).await
    }

    async fn ping(&self, device: &DeviceName) -> Result<Done, Failure> {
        let path = format!("/v1/fence/devices/{device}/ping");
        let mut call = Call::new(Method::POST, &path);
        (call.body, call.patience) = (Some(json!({})), text::DEVICE);
        let value: Value = self.bridge.ask(call).await?;
        let ended: Ended = parsed(value.clone())?;
        let mut done = self.render(value, |ended: Ended| text::ended(&ended) + "\n")?;
        done.failure = text::unless_success(device, &ended);
        Ok(done)
    }

    async fn targets(&self, device: &DeviceName) -> Result<Done, Failure> {
        let path = format!("/v1/fence/devices/{device}/targets");
        let mut call = Call::new(Method::GET, &path);
        call.patience = text::DEVICE;
        let value: Value = self.bridge.ask(call).await?;
        let ended: Ended = parsed(value.clone())?;
        let mut done = self.render(value, |list: Targets| {
            let rows = list.targets.iter().map(|row| {
                let alias = row.alias.as_deref().unwrap_or("-");
                vec![text::clean(&row.port), text::clean(alias)]
            });
            text::table(&["PORT", "ALIAS"], rows)
        })?;
        done.failure = text::unless_success(device, &ended);
        Ok(done)
    }
}

#[derive(Debug, Deserialize)]
struct Targets {
    targets: Vec<Listed>,
}

/// An answer that is to have this form.
fn parsed<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| {
        let help = "are haxctl and the bridge of one version?";
        Failure::Other(format!(
            "the answer is not what was expected: {error}; {help}"
        ))
    })
}
