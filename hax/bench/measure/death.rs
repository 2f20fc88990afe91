//! From the death of a process to those who are told.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use halink::{Fid, FidType, HaState};

use crate::bench::child::Program;
use crate::bench::clock;
use crate::bench::load::Expected;
use crate::bench::loader::Loader;
use crate::bench::run::{Bench, say};
use crate::bench::stats::Sample;

/// Processes that are told.
const SURVIVORS: usize = 10;
/// Longer than Consul's checks would take.
const PATIENCE: Duration = Duration::from_secs(2);

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
                            processes (ha.death_watch), and no check of Consul's is set up here";
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
        let process = Fid::typed(FidType::Process, 1, Loader::other_key(number));
        let fid = process.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        let endpoint = format!("inet:tcp:127.0.0.1@{}", 40_000 + number);
        command
            .args(["sim", "m0d", "--ha", &self.daemon.endpoint()])
            .args(["--process", &fid, "--endpoint", &endpoint]);
        let mut victim = Program::spawn("victim", self.directory.path(), &mut command, None)?;
        let started = |status: &serde_json::Value| {
            status["processes"][&fid]["state"] == "M0_CONF_HA_PROCESS_STARTED"
        };
        self.daemon.wait(started).await?;
        victim.check()?;
        let expected = Expected {
            object: process,
            state: HaState::Failed.raw(),
            notes: 1,
        };
        self.loader.expect(expected, PATIENCE).await?;
        let start = clock::now();
        victim.kill()?;
        let arrivals = self.loader.arrivals().await?;
        Ok(arrivals.and_then(|times| Some(times.iter().max()? - start)))
    }
}
