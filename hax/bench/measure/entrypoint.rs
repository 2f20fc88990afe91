//! Entrypoint replies.

use std::time::Duration;

use anyhow::Result;

use super::gets_per_second;
use crate::bench::clock;
use crate::bench::load::Command;
use crate::bench::run::{Bench, LINKS_MAX, Rounds, say};
use crate::bench::stats::Sample;

/// Processes that ask at once.
const BURST: usize = 300;
/// What Consul alone is asked.
const CONFDS: &str = "/v1/catalog/service/confd";

impl Bench {
    pub(in crate::bench) async fn entrypoint(&mut self) -> Result<()> {
        let mut raw = Vec::new();
        self.loader.connect(BURST.max(self.loader.links())).await?;
        let burst = self.requests(BURST, "entrypoint_per_s", &mut raw).await?;
        self.figures.entrypoint_per_s = burst;
        if self.links_max >= LINKS_MAX {
            self.link_memory().await?;
            let all = self
                .requests(LINKS_MAX, "entrypoint_1000_per_s", &mut raw)
                .await?;
            self.figures.entrypoint_1000_per_s = all;
        }
        self.figures.entrypoint_raw_get_per_s = raw.into_iter().collect::<Sample>().median();
        Ok(())
    }

    async fn requests(
        &mut self,
        links: usize,
        figure: &'static str,
        raw: &mut Vec<f64>,
    ) -> Result<Option<f64>> {
        say(&format!("entrypoint replies to {links} processes"));
        let mut consul = self.agent.connect().await?;
        let mut rates = Vec::new();
        let ask = Command::Entrypoint { links };
        self.loader.run(&ask).await?;
        let mut rounds = Rounds::new(2, 30, Duration::from_millis(self.either(300, 2_500)));
        while rounds.again() {
            raw.push(gets_per_second(&mut consul, CONFDS, 100).await?);
            let outcome = self.loader.run(&ask).await?;
            rates.push(clock::per_second(links, outcome.nanos));
        }
        let rates: Sample = rates.into_iter().collect();
        self.figures.sampled(figure, rates.len() * links);
        Ok(rates.median())
    }
}
