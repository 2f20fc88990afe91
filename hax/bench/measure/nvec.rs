//! Answers to NVEC GET.

use std::time::Duration;

use anyhow::Result;

use super::gets_per_second;
use crate::bench::clock;
use crate::bench::load::{Command, Outcome};
use crate::bench::run::{Bench, Rounds, say};
use crate::bench::stats::Sample;

/// Processes that ask.
const LINKS: usize = 4;
/// Requests of each that are on their way.
const WINDOW: usize = 4;
/// Requests of a round, of each process.
const EACH: usize = 25;
/// Requests of a round that go one at a time.
const SERIAL: usize = 50;

impl Bench {
    pub(in crate::bench) async fn nvec(&mut self) -> Result<()> {
        self.loader.connect(LINKS.max(self.loader.links())).await?;
        let mut consul = self.agent.connect().await?;
        let mut raw = Vec::new();
        for notes in [1, 16, 128, 1_024] {
            say(&format!("NVEC GET of {notes} notes"));
            self.get(notes, LINKS, WINDOW, 2).await?;
            let mut rates = Vec::new();
            let mut rounds = Rounds::new(2, 40, Duration::from_millis(self.either(300, 1_500)));
            while rounds.again() {
                raw.push(gets_per_second(&mut consul, "/v1/kv/epoch", 100).await?);
                let outcome = self.get(notes, LINKS, WINDOW, EACH).await?;
                rates.push(clock::per_second(LINKS * EACH, outcome.nanos));
            }
            let rates: Sample = rates.into_iter().collect();
            self.figures
                .sampled("nvec_per_s", rates.len() * LINKS * EACH);
            if let Some(median) = rates.median() {
                self.figures.nvec_per_s.insert(notes, median);
            }
        }
        let mut times = Vec::new();
        let mut rounds = Rounds::new(4, 40, Duration::from_millis(self.either(300, 2_000)));
        while rounds.again() {
            raw.push(gets_per_second(&mut consul, "/v1/kv/epoch", 100).await?);
            times.extend(self.get(16, 1, 1, SERIAL).await?.samples);
        }
        let times: Sample = times.into_iter().map(clock::millis).collect();
        self.figures.nvec_p50_ms = times.percentile(50);
        self.figures.nvec_p99_ms = times.percentile(99);
        self.figures.sampled("nvec_p99_ms", times.len());
        self.figures.nvec_raw_get_per_s = raw.into_iter().collect::<Sample>().median();
        Ok(())
    }

    async fn get(
        &mut self,
        notes: usize,
        links: usize,
        window: usize,
        each: usize,
    ) -> Result<Outcome> {
        let get = Command::Nvec {
            links,
            window,
            each,
            objects: self.tree.some_objects(notes),
        };
        self.loader.run(&get).await
    }
}
