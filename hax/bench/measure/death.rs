//! From the death of a process to those who are told.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use halink::{Fid, HaState};
use serde_json::Value;

use crate::bench::child::Program;
use crate::bench::clock;
use crate::bench::load::Expected;
use crate::bench::loader::Loader;
use crate::bench::run::{Bench, say};
use crate::bench::stats::Sample;

/// Processes that are told.
pub(super) const SURVIVORS: usize = 10;
/// Longer than Consul's checks would take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A process that is to die.
pub(super) struct Victim {
    pub(super) process: Fid,
    program: Program,
}

impl Bench {
    pub(in crate::bench) async fn death(&mut self) -> Result<()> {
        say("deaths of processes");
        self.loader
            .connect(SURVIVORS.max(self.loader.links()))
            .await?;
        let mut times = Vec::new();
        for number in 0..self.either(5, 20) {
            let Some(nanos) = self.one_death(number).await? else {
                let note = "the bridge has not told of a death by itself: it does not watch its \
                            processes (ha.death_watch)";
                self.figures.death_note = Some(note.to_owned());
                return Ok(());
            };
            times.push(clock::millis(nanos));
        }
        let times: Sample = times.into_iter().collect();
        self.figures
            .sampled("death_to_delivered_p50_ms", times.len());
        self.figures.death_to_delivered_p50_ms = times.percentile(50);
        Ok(())
    }

    /// Starts a process, kills it, and returns how long it took until the last survivor knew.
    async fn one_death(&mut self, number: u64) -> Result<Option<u64>> {
        let mut victim = self.victim(number).await?;
        self.killed(&mut victim, PATIENCE).await
    }

    /// Starts a process, and returns when it has STARTED and the bridge has found out who it is.
    pub(super) async fn victim(&mut self, number: u64) -> Result<Victim> {
        let process = Loader::other_process(number);
        let fid = process.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        let endpoint = format!("inet:tcp:127.0.0.1@{}", 40_000 + number);
        command
            .args(["sim", "m0d", "--ha", &self.daemon.endpoint()])
            .args(["--process", &fid, "--endpoint", &endpoint]);
        let mut program = Program::spawn("victim", self.directory.path(), &mut command, None)?;
        let settled = |link: &Value| {
            link["process"] == fid
                && link["up"] == true
                && link["death_watch"]["state"] != "proving"
        };
        let started = |status: &Value| {
            let links = status["links"].as_array();
            links.is_some_and(|links| links.iter().any(settled))
        };
        self.daemon.wait(started).await?;
        program.check()?;
        Ok(Victim { process, program })
    }

    /// Kills a process, and returns how long it took until the last survivor knew; `None` if that
    /// took longer than `patience`.
    pub(super) async fn killed(
        &mut self,
        victim: &mut Victim,
        patience: Duration,
    ) -> Result<Option<u64>> {
        let expected = Expected {
            object: victim.process,
            state: HaState::Failed.raw(),
            notes: 1,
        };
        self.loader.expect(expected, patience).await?;
        let start = clock::now();
        victim.program.kill()?;
        let arrivals = self.loader.arrivals().await?;
        Ok(arrivals.and_then(|times| times.iter().max()?.checked_sub(start)))
    }
}
