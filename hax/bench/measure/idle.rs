//! A bridge with nothing to do, and what a link adds.

use std::time::Duration;

use anyhow::Result;

use crate::bench::clock;
use crate::bench::run::{Bench, LINKS_MAX, say};
use crate::bench::stats::Sample;

impl Bench {
    /// Start to ready, memory and CPU time without links.
    pub(in crate::bench) async fn idle(&mut self) -> Result<()> {
        say("start and rest");
        let mut ready = vec![self.daemon.ready];
        for _ in 0..self.either(1, 4) {
            self.restart().await?;
            ready.push(self.daemon.ready);
        }
        let ready: Sample = ready.iter().map(|it| it.as_secs_f64() * 1e3).collect();
        self.figures.ready_ms = ready.median();
        self.figures.sampled("ready_ms", ready.len());
        let objects = self.tree.objects.len() as u64;
        self.daemon
            .wait("the objects of the tree", |status| {
                status["consul"]["objects"].as_u64().unwrap_or(0) >= objects / 2
            })
            .await?;
        let time = Duration::from_secs(self.either(1, 6));
        let rest = async {
            // How long it rests is what is measured.
            tokio::time::sleep(time).await;
            Ok(())
        };
        let ((), share) = self.daemon.cpu_during(rest).await?;
        self.figures.idle_cpu_percent = Some(share * 100.0);
        self.figures.rss_mib = Some(mib(self.daemon.rss_kib()?));
        Ok(())
    }

    /// Makes all the links there are to be.
    pub(in crate::bench) async fn link_memory(&mut self) -> Result<()> {
        say("1,000 links");
        let before = self.daemon.rss_kib()?;
        let (made, nanos) = self.loader.connect(LINKS_MAX).await?;
        if made > 0 {
            let after = self.daemon.rss_kib()?;
            let grown = after.saturating_sub(before);
            self.figures.link_kib = Some(kib(grown) / kib(made as u64));
            self.figures.sampled("link_kib", made);
            self.figures.entrypoint_first_per_s = Some(clock::per_second(made, nanos));
            self.figures.sampled("entrypoint_first_per_s", made);
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "memory is far below 2^53 KiB")]
fn kib(size: u64) -> f64 {
    size as f64
}

fn mib(size: u64) -> f64 {
    kib(size) / 1024.0
}
