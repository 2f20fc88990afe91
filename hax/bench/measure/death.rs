//! From the death of a process to those who are told.

use std::process::Command;

use anyhow::{Result, bail};
use halink::{Fid, HaState};
use serde_json::Value;

use crate::bench::child::Program;
use crate::bench::clock;
use crate::bench::load::Expected;
use crate::bench::loader::Loader;
use crate::bench::patience::STALL;
use crate::bench::run::{Bench, say};
use crate::bench::stats::Sample;

/// Processes that are told.
pub(super) const SURVIVORS: usize = 10;

/// A process that is to die.
pub(super) struct Victim {
    pub(super) process: Fid,
    /// How the bridge watches for its death, as `/v1/status` has it.
    watch: Value,
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
            let Some(mut victim) = self.victim(number).await? else {
                bail!("a process that nobody killed has ended: see `hax sim m0d`");
            };
            if victim.watch["state"] != "watched" {
                let note = format!(
                    "the bridge does not watch the process (ha.death_watch): {}",
                    victim.watch
                );
                self.figures.death_note = Some(note);
                return Ok(());
            }
            let Some(nanos) = self.killed(&mut victim).await? else {
                let note = format!("the bridge has not told of a death within {STALL:?}");
                self.figures.death_note = Some(note);
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

    /// Starts a process, and returns when it has STARTED and the bridge has found out who it is;
    /// `None` if it has ended before.
    pub(super) async fn victim(&mut self, number: u64) -> Result<Option<Victim>> {
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
            let links = status["links"].as_array()?;
            Some(links.iter().find(|link| settled(link))?["death_watch"].clone())
        };
        let awaited = format!("process {process} to start");
        let status = self.daemon.wait(&awaited, |status| {
            started(status).is_some() || program.check().is_err()
        });
        let watch = started(&status.await?).unwrap_or_default();
        Ok(program.check().is_ok().then_some(Victim {
            process,
            watch,
            program,
        }))
    }

    /// Kills a process, and returns how long it took until the last survivor knew; `None` if that
    /// takes longer than [`STALL`].
    pub(super) async fn killed(&mut self, victim: &mut Victim) -> Result<Option<u64>> {
        let expected = Expected {
            object: victim.process,
            state: HaState::Failed.raw(),
            notes: 1,
        };
        self.loader.expect(expected, STALL).await?;
        let start = clock::now();
        victim.program.kill()?;
        let arrivals = self.loader.arrivals().await?;
        Ok(arrivals.and_then(|times| times.iter().max()?.checked_sub(start)))
    }
}
