//! Programs that end with the measurement.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Bytes of a program's log that are shown when it fails.
const SHOWN: usize = 2_000;

/// A running program. It is killed when this value is dropped.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Program {
    /// Starts a program whose standard error goes to `<directory>/<name>.log`; so does its
    /// standard output, if `command` does not say otherwise.
    pub(super) fn spawn(
        name: &'static str,
        directory: &Path,
        command: &mut Command,
        output: Option<Stdio>,
    ) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let output = match output {
            Some(output) => output,
            None => file.try_clone()?.into(),
        };
        // In a group of its own: what the terminal sends is for us to pass on.
        let child = command
            .current_dir(directory)
            .stdout(output)
            .stderr(file)
            .process_group(0)
            .spawn()?;
        Ok(Self { child, name, log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error if the program has ended, with the end of its log.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} has ended ({status}): {}", self.name, self.tail()),
        }
    }

    /// The end of its log.
    pub(super) fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let start = text.len().saturating_sub(SHOWN);
        String::from_utf8_lossy(&text[start..]).trim().to_owned()
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        Ok(())
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// SIGTERM; `None` if it has not ended after `patience`.
    pub(super) async fn terminate(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        self.signal(Signal::TERM)?;
        let deadline = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(None)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
