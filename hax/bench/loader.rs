//! The other side of `hax bench-load`.

use std::path::Path;
use std::process::{self, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use halink::{Fid, FidType};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use super::child::Program;
use super::daemon::Daemon;
use super::load::{Command, Expected, Outcome};

/// Key of the first process that is played. A tree has lower ones.
const FIRST_KEY: u64 = 0x10000;

/// A process that plays many.
#[derive(Debug)]
pub(super) struct Loader {
    program: Program,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    links: usize,
}

impl Loader {
    /// Starts the process, without links.
    pub(super) fn start(directory: &Path, daemon: &Daemon) -> Result<Self> {
        let own = std::env::current_exe().context("where this program is")?;
        let mut command = process::Command::new(own);
        command
            .args(["bench-load", "--ha", &daemon.endpoint()])
            .stdin(Stdio::piped());
        let piped = Some(Stdio::piped());
        let mut program = Program::spawn("bench-load", directory, &mut command, piped)?;
        let pipes = (program.child.stdin.take(), program.child.stdout.take());
        let (Some(input), Some(output)) = pipes else {
            bail!("bench-load has no pipes");
        };
        Ok(Self {
            program,
            input: ChildStdin::from_std(input)?,
            output: BufReader::new(ChildStdout::from_std(output)?).lines(),
            links: 0,
        })
    }

    /// A process that is not played.
    pub(super) fn other_process(number: u64) -> Fid {
        Fid::typed(FidType::Process, 1, 2 * FIRST_KEY + number)
    }

    /// Makes as many links as are missing; how many that were, and how long they took.
    pub(super) async fn connect(&mut self, links: usize) -> Result<(usize, u64)> {
        let missing = links.saturating_sub(self.links);
        if missing == 0 {
            return Ok((0, 0));
        }
        let first_key = FIRST_KEY + self.links as u64;
        let connect = Command::Connect {
            first_key,
            count: missing,
        };
        let outcome = self.run(&connect).await?;
        self.links = links;
        Ok((missing, outcome.nanos))
    }

    /// Links there are.
    pub(super) fn links(&self) -> usize {
        self.links
    }

    /// Has a command carried out.
    pub(super) async fn run(&mut self, command: &Command) -> Result<Outcome> {
        self.tell(command).await?;
        self.hear().await
    }

    /// Looks out for an NVEC SET on every link, for so long; [`Self::arrivals`] says when it came.
    pub(super) async fn expect(&mut self, expected: Expected, patience: Duration) -> Result<()> {
        let command = Command::Await {
            links: self.links,
            expected,
            patience,
        };
        self.run(&command).await?;
        Ok(())
    }

    /// When each link had what is expected; `None` if one did not have it in time.
    pub(super) async fn arrivals(&mut self) -> Result<Option<Vec<u64>>> {
        let samples = self.hear().await?.samples;
        Ok((!samples.is_empty()).then_some(samples))
    }

    async fn tell(&mut self, command: &Command) -> Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.input.write_all(&line).await?;
        Ok(self.input.flush().await?)
    }

    async fn hear(&mut self) -> Result<Outcome> {
        // The load gives up by itself what does not get on.
        let Some(line) = self.output.next_line().await? else {
            bail!("the load has ended: {}", self.program.tail());
        };
        let outcome: Result<Outcome, String> = serde_json::from_str(&line)?;
        outcome.map_err(|error| anyhow!("the load: {error}"))
    }
}
